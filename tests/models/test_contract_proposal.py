"""Proposals: what the file says stands in them, what nobody knows is a blank that is refused, and a filled one runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from swath.errors import ModelError
from swath.models import contract_fields, contract_scaling
from swath.models.contract_file import parse_contract
from swath.models.contract_proposal import BLANK, propose_contract
from swath.models.info import inspect
from tests.models.test_network_axes import KINDS, made
from tests.models.tiny_models import write_integer_unet
from tests.process import ROOT

pytest.importorskip("onnx")


def filled(document: dict[str, Any]) -> dict[str, Any]:
    """What an author would write into the blanks."""
    document["mlm:input"][0]["bands"] = ["red", "green", "blue"]
    del document["mlm:input"][0]["value_scaling"]
    for entry in document["mlm:output"][0].get("classification:classes", []):
        entry["name"] = f"class-{entry['value']}"
    return document | {"swath:units": "dn"}


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_filled_proposal_is_a_contract_that_runs(kind: str, suffix: str, tmp_path: Path) -> None:
    ref = made(kind, tmp_path / f"m{suffix}")
    known = inspect(ref)
    proposal = propose_contract(ref.path, known.format)
    assert [blank.partition(": ")[0] for blank in proposal.blanks] == [
        "mlm:input.0.bands", "mlm:input.0.value_scaling", "swath:units", "mlm:output.0.classification:classes",
    ]  # fmt: skip
    assert BLANK in json.dumps(proposal.document)
    with pytest.raises(ModelError, match="swath:units: must be one of"):
        parse_contract(proposal.document)
    document = filled(proposal.document)
    if "numbers" in kind:  # how many there are cannot be seen
        document["mlm:output"][0]["classification:classes"].append({"value": 2, "name": "class-2"})
    (tmp_path / "m.json").write_text(json.dumps(document))
    again = inspect(ref)
    assert (again.exact, again.radius, again.contract.axes) == (known.exact, known.radius, known.contract.axes)
    assert again.contract.expected_channels == 3


def test_fields_of_the_models_item_come_first(tmp_path: Path) -> None:
    path = write_integer_unet(tmp_path)
    properties = json.loads((tmp_path / "integer.json").read_text())
    item = tmp_path / "item.json"
    item.write_text(json.dumps({"type": "Feature", "properties": {**properties, "datetime": None}}))
    proposal = propose_contract(str(path), "pt2", str(item))
    assert (proposal.document, proposal.blanks) == (properties, ())
    item.write_text(json.dumps({"type": "Feature", "properties": {"datetime": None}}))
    with pytest.raises(ModelError, match="has no fields of the MLM extension"):
        propose_contract(str(path), "pt2", str(item))
    item.write_text("{")
    with pytest.raises(ModelError, match="not a JSON document"):
        propose_contract(str(path), "pt2", str(item))


def test_notes_of_safetensors_are_told_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, path, metadata={"architecture": "unet-r34"})
    facts = "\n".join(propose_contract(str(path), "safetensors").facts)
    assert "2 tensors with 17 numbers" in facts
    assert "architecture is unet-r34" in facts
    for content in (b"", b"\xff" * 16, (3).to_bytes(8, "little") + b"[1]"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not a safetensors file"):
            propose_contract(str(path), "safetensors")


def test_the_page_of_fields_names_every_field_and_its_example_is_a_contract() -> None:
    page = (ROOT / "docs/contract.md").read_text()
    names = {f"swath:{name}" for name in contract_fields.SWATH_FIELDS}
    names |= {*contract_fields._INPUT_FIELDS, *contract_fields._OUTPUT_FIELDS, *contract_scaling.VALUE_SCALINGS}
    assert [name for name in sorted(names) if f"`{name}" not in page] == []
    assert parse_contract(json.loads(page.partition("```json\n")[2].partition("```")[0])).name == "my-model"
