"""Arrays of a contract: shape, order of axes and type of numbers of what a network takes and gives."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from swath.models.contract_scaling import check_unused
from swath.models.declaration import INPUT_TYPES
from swath.models.document_reader import DocumentReader
from swath.models.network_axes import WHOLE_TYPES, ChannelAxis

_CHANNELS = ("channel", "channels", "band", "bands", "class", "classes", "score", "confidence")
_IMAGE = ["batch", "height", "width"]


@dataclass(frozen=True)
class ContractArray:
    """What a contract says of an input or an output."""

    axis: ChannelAxis = "second"
    """Where its channels are."""
    channels: int | None = None
    """None where they vary, or are not known."""
    size: int = 0
    """Height and width where they are one number; 0 where they vary or differ."""
    whole: bool = False
    """Whether it holds whole numbers."""
    dtype: str = "float32"


def read_array(
    reader: DocumentReader, parent: dict[str, Any], key: str, where: str, *, without_channels: bool = False
) -> ContractArray:
    """An input or result structure; mistakes go to the reader. `without_channels`: (batch, height, width) will do."""
    structure = parent.get(key)
    if not isinstance(structure, dict):
        reader.wrong(where + key, "must be an object with shape, dim_order and data_type")
        return ContractArray()
    check_unused(reader, structure, ("shape", "dim_order", "data_type"), f"{where}{key}", of=f"{where}{key}")
    dtype = structure.get("data_type")
    if dtype not in INPUT_TYPES:
        reader.wrong(f"{where}{key}.data_type", f"must be one of {', '.join(INPUT_TYPES)}, not {json.dumps(dtype)}")
        dtype = "float32"
    axis = _channel_axis(reader, structure.get("dim_order"), f"{where}{key}.dim_order", without_channels)
    shape, length = structure.get("shape"), 3 if axis == "none" else 4
    if (
        not isinstance(shape, list)
        or len(shape) != length
        or not all(type(n) is int and (n > 0 or n == -1) for n in shape)
    ):
        words = {3: "three", 4: "four"}[length]
        reader.wrong(f"{where}{key}.shape", f"must be {words} numbers, each above 0, or -1 where it varies")
        return ContractArray(axis)
    channels = {"none": 1, "second": shape[1], "last": shape[-1]}[axis]
    height, width = shape[1:3] if axis in ("none", "last") else shape[2:]
    return ContractArray(
        axis, None if channels == -1 else channels, height if height == width > 0 else 0, dtype in WHOLE_TYPES, dtype
    )


def _channel_axis(reader: DocumentReader, order: Any, where: str, without_channels: bool) -> ChannelAxis:
    names = order if isinstance(order, list) else []
    if without_channels and names == _IMAGE:
        return "none"
    for axis, position in (("second", 1), ("last", 3)):
        if len(names) == 4 and names[position] in _CHANNELS and [*names[:position], *names[position + 1 :]] == _IMAGE:
            return "last" if axis == "last" else "second"
    also = "; (batch, height, width) for class numbers and single values" if without_channels else ""
    hint = "; give dates as bands" if "time" in names else "; put other changes of axes into the model"
    reader.wrong(
        where,
        "must be batch, channel (or class), height, width, or batch, height, width, channel"
        f"{also}, not {json.dumps(order)}{hint}",
    )
    return "second"
