"""Contract proposals: what a model's file says of itself as a contract, and what only its author knows as blanks to fill in.

A blank is a `?`, which no contract may hold: a proposal is refused until every one is filled in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import ModelError
from swath.models.contract import Format
from swath.models.contract_file import contract_path
from swath.models.declaration import Declaration, choose_output
from swath.models.load import declaration_of
from swath.models.network_axes import WHOLE_TYPES

BLANK = "?"
MOST_BANDS = 64
"""A last axis that is no longer holds bands rather than columns."""
_HEADER_BYTES = 64 << 20
_ITEM_BYTES = 16 << 20
_DEFAULT = ("batch", "channel", "height", "width")
_LAST = ("batch", "height", "width", "channel")


@dataclass(frozen=True)
class ContractProposal:
    """A contract as far as it is known."""

    document: dict[str, Any]
    facts: tuple[str, ...]
    """What was found, and where."""
    blanks: tuple[str, ...]
    """Field: what has to be filled in. Empty when nothing is left to do."""


def propose_contract(path: str, form: Format, item: str | None = None) -> ContractProposal:
    """The contract of the weights at `path`. `item` is a STAC item or a document with `mlm:` fields, whose fields count before what the
    file says. Raises ModelError for files that are not what they should be."""
    declared = declaration_of(path, form)
    facts: list[str] = []
    document = _from_item(item, facts) if item is not None else {}
    if form == "safetensors":
        facts += _safetensors(path)
    if declared is None:
        facts.append(f"a {form} file does not say what its network takes and gives: shapes are blanks")
    document.setdefault("mlm:name", contract_path(path).stem)
    document.setdefault("mlm:architecture", "unknown")
    document.setdefault("mlm:tasks", ["semantic-segmentation"])
    if "mlm:input" not in document:
        document["mlm:input"] = [_input(declared, facts)]
    if "mlm:output" not in document:
        document["mlm:output"] = [_output(declared, facts)]
    document.setdefault("swath:units", BLANK)
    return ContractProposal(document, tuple(facts), tuple(_blanks(document)))


def _from_item(item: str, facts: list[str]) -> dict[str, Any]:
    try:
        with Path(item).open("rb") as file:
            found = json.loads(file.read(_ITEM_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{item}: not a JSON document: {error}", remedy="give the STAC item of the model") from error
    if isinstance(found, dict) and found.get("type") == "Feature":
        found = found.get("properties")
    fields = (
        {key: value for key, value in found.items() if key.startswith(("mlm:", "swath:"))}
        if isinstance(found, dict)
        else {}
    )
    if not fields:
        raise ModelError(f"{item}: has no fields of the MLM extension (mlm:...)", remedy="leave --item out")
    facts.append(f"{item}: {len(fields)} fields")
    return fields


def _safetensors(path: str) -> list[str]:
    """What the header of a safetensors file says: its own notes, and how many numbers it holds."""
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _HEADER_BYTES:
                raise ValueError("its header is too long")
            header = json.loads(file.read(length))
        notes = header.pop("__metadata__", {})
        numbers = 0
        for entry in header.values():
            count = 1
            for side in entry["shape"]:
                count *= int(side)
            numbers += count
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: not a safetensors file: {error}", remedy="copy the file again") from error
    said = [f"{path}: {str(key)[:50]} is {str(value)[:200]}" for key, value in list(notes.items())[:20]]
    return [f"{path}: {len(header)} tensors with {numbers:,} numbers; the network itself comes from `factory`", *said]


def _input(declared: Declaration | None, facts: list[str]) -> dict[str, Any]:
    shape = declared.shape if declared is not None else None
    order, dtype = _DEFAULT, "float32"
    bands: int | None = None
    if declared is not None and declared.dtype:
        dtype = declared.dtype
    if shape is not None and len(shape) == 4:
        second, last = shape[1], shape[3]
        if last is not None and last <= MOST_BANDS and (second is None or second > last):
            order = _LAST
        bands = last if order == _LAST else second
        words = " x ".join("any" if side is None else str(side) for side in shape)
        facts.append(f"the network takes {words} of {dtype}, as {', '.join(order)}")
    elif shape is not None:
        facts.append(f"the network takes {len(shape)} axes; swath runs networks of four")
    sizes = [-1 if side is None else side for side in shape] if shape is not None and len(shape) == 4 else [-1] * 4
    sizes[0] = -1
    return {
        "name": declared.inputs[0] if declared is not None and declared.inputs else "image",
        "bands": [BLANK] * (bands or 1),
        "input": {"shape": sizes, "dim_order": list(order), "data_type": dtype},
        "value_scaling": [{"type": BLANK}],
    }


def _output(declared: Declaration | None, facts: list[str]) -> dict[str, Any]:
    name, shape, dtype = "output", None, "float32"
    if declared is not None and declared.outputs:
        name, position = _chosen(declared, facts)
        shape = declared.output_shapes[position] if position < len(declared.output_shapes) else None
        dtype = declared.output_types[position] if position < len(declared.output_types) else dtype
    axes = ["batch", "class", "height", "width"]
    sizes: list[int] = [-1, 1, -1, -1]
    count: int | None = None
    if shape is not None:
        words = " x ".join("any" if side is None else str(side) for side in shape)
        facts.append(f"output {name} is {words} of {dtype}")
        sizes = [-1 if side is None else side for side in shape]
        sizes[0] = -1
        if len(shape) == 3:
            axes = ["batch", "height", "width"]
        elif len(shape) == 4:
            last, second = shape[3], shape[1]
            if last is not None and last <= MOST_BANDS and (second is None or second > last):
                axes, count = ["batch", "height", "width", "class"], last
            else:
                count = second
    numbers = dtype in WHOLE_TYPES and (len(axes) == 3 or count == 1)
    classes = 2 if numbers or count is None or count == 1 else count
    return {
        "name": name,
        "tasks": ["semantic-segmentation"],
        "result": {"shape": sizes, "dim_order": axes, "data_type": dtype},
        "classification:classes": [{"value": value, "name": BLANK} for value in range(classes)],
    }


def _chosen(declared: Declaration, facts: list[str]) -> tuple[str, int]:
    """The name and position of the output that is most likely the map: the first of four axes, else of three, else the first."""
    names = declared.outputs
    if len(names) == 1:
        return choose_output("", names, ""), 0
    shapes = [*declared.output_shapes, *[None] * len(names)][: len(names)]
    ranked = sorted(range(len(names)), key=lambda n: {4: 0, 3: 1}.get(len(shapes[n] or ()), 2))
    facts.append(f"the network gives {len(names)} outputs ({', '.join(names[:20])}); {names[ranked[0]]} is taken here")
    return names[ranked[0]], ranked[0]


def _blanks(document: dict[str, Any]) -> list[str]:
    """What has to be filled in, by field."""
    found = []
    entry = document["mlm:input"][0] if _is_list(document["mlm:input"]) else {}
    result = document["mlm:output"][0] if _is_list(document["mlm:output"]) else {}
    if BLANK in (entry.get("bands") or [BLANK]):
        found.append(
            "mlm:input.0.bands: names of the bands in the order in which the network was trained, such as red, green, blue, nir"
        )
    scaling = entry.get("value_scaling")
    if scaling is not None and any(isinstance(step, dict) and step.get("type") == BLANK for step in scaling):
        found.append(
            "mlm:input.0.value_scaling: how pixels were scaled for training, such as {type: z-score, mean, stddev} or {type: min-max, "
            "minimum, maximum}, one for all bands or one for each; leave the field out if they were not"
        )
    if document["swath:units"] == BLANK:
        found.append("swath:units: reflectance for physical values (0 to 1), dn for the numbers of the files")
    classes = result.get("classification:classes")
    if classes is not None and any(isinstance(each, dict) and each.get("name") == BLANK for each in classes):
        found.append(
            "mlm:output.0.classification:classes: the name of each class (and color_hint); for numbers instead of classes remove the "
            "field, and write swath:output: values; one channel for two classes needs swath:threshold"
        )
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
