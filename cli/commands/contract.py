"""`pipe contract`: propose the contract of a model's file, or check the one beside it, on a scene if there is one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from swath.errors import ModelError
from swath.models.contract import Contract
from swath.models.contract_file import contract_path, read_contract
from swath.models.load import check_file, format_of
from swath.spec.fields.model import ModelRef


def print_contract(model: Path, item: Path | None, scene: Path | None, names: str | None, *, write: bool) -> int:
    """Print, or write, a proposal where the model has no contract; else check the contract. The proposal goes to stdout, what is
    said of it to stderr."""
    path = str(model)
    form = format_of(path)
    if not model.is_file():
        raise ModelError(f"{path}: there is no such file")
    beside = contract_path(path)
    if not beside.is_file() or not beside.stat().st_size:
        return _propose(path, beside, None if item is None else str(item), write=write)
    contract = read_contract(beside)
    check_file(path, form, contract)
    print(f"{beside}: fits {model.name}: {_summary(contract)}")
    if scene is None:
        print("Its pixels are checked on a scene: --scene FILE", file=sys.stderr)
        return 0
    return _check(path, scene, names)


def _propose(path: str, beside: Path, item: str | None, *, write: bool) -> int:
    from swath.models.contract_proposal import propose_contract

    proposal = propose_contract(path, format_of(path), item)
    text = json.dumps(proposal.document, indent=2, ensure_ascii=False) + "\n"
    for fact in proposal.facts:
        print(fact, file=sys.stderr)
    if write:
        try:
            beside.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{beside}: cannot be written: {error.strerror or error}") from error
        print(f"{beside}: written", file=sys.stderr)
    else:
        print(text, end="")
    if proposal.blanks:
        print("\nTo be filled in (docs/contract.md has all fields):", file=sys.stderr)
        for blank in proposal.blanks:
            print(f"  {blank}", file=sys.stderr)
    print(f"\nThen: pipe contract {path} --scene FILE", file=sys.stderr)
    return 0


def _summary(contract: Contract) -> str:
    made = ", ".join(each.name for each in contract.classes) or f"{contract.channels} bands of {contract.dtype}"
    return f"{', '.join(contract.bands)} ({contract.units}) become {made}"


def _check(path: str, scene: Path, names: str | None) -> int:
    from swath.maps.contract_check import check_contract
    from swath.spec.fields.imagery import FilesImagery

    listed = tuple(name.strip() for name in names.split(",")) if names else None
    found = check_contract(ModelRef(path=path), FilesImagery(paths=(str(scene),), names=listed))
    exact = "exact" if found.info.exact else f"not exact: {found.info.reason}"
    size = f"images of {found.info.size} pixels" if found.info.size else f"a radius of {found.info.radius} pixels"
    print(f"the network has {size} at a stride of {found.info.stride}; maps are {exact}")
    print("what it gets, in a window of the scene:")
    for name, low, mean, high in found.inputs:
        print(f"  {name:<12} {low:>12.5g} to {high:<12.5g} mean {mean:.5g}")
    print("what it gives:")
    classes = found.info.contract.output == "classes"
    for name, number in found.outputs:
        print(f"  {name:<12} {f'{100 * number:.2f} %' if classes else f'mean {number:.5g}'}")
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0
