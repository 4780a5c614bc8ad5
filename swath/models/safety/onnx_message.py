"""What an ONNX file declares, read from its protobuf messages: inputs, outputs, operators, and constants that decide their mode."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass

from swath.models.safety.protobuf import BYTES, VARINT, DamagedMessage, fields

TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}  # fmt: skip
"""Names of types of numbers by ONNX's code."""

# Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto


@dataclass(frozen=True)
class OnnxValue:
    """An input or output of a model."""

    name: str
    dtype: str
    """Empty when it is no tensor, or of a type that is not in TYPES."""
    shape: tuple[int | None, ...] | None
    """None where a length varies; None as a whole when the number of axes is not declared."""


def parts(
    message: memoryview, *, once: tuple[int, ...] = (), every: tuple[int, ...] = (), numbers: tuple[int, ...] = ()
) -> defaultdict[int, list[memoryview]]:
    """The fields of these numbers: messages and texts that may stand once or many times, and whether a number other than 0 is there."""
    found: defaultdict[int, list[memoryview]] = defaultdict(list)
    for number, wire, value in fields(message):
        if number in numbers:
            if wire != VARINT:
                raise DamagedMessage(f"field {number} has another type")
            if value:
                found[number].append(memoryview(b""))
        elif number in once or number in every:
            if wire != BYTES or isinstance(value, int):
                raise DamagedMessage(f"field {number} has another type")
            if number in once and found[number]:
                raise DamagedMessage(f"field {number} stands twice")
            found[number].append(value)
    return found


def text(found: list[memoryview]) -> str:
    """The text of a field; empty when it is not there."""
    return bytes(found[0]).decode() if found else ""


def value_info(message: memoryview) -> OnnxValue:
    """A ValueInfoProto."""
    found = parts(message, once=(1, 2))
    tensor = [inner for each in found[2] for inner in parts(each, every=(1,))[1]]
    if not tensor:
        return OnnxValue(text(found[1]), "", None)
    dtype = TYPES.get(number(tensor[0], 1) or 0, "")
    shapes = parts(tensor[0], every=(2,))[2]
    if not shapes:
        return OnnxValue(text(found[1]), dtype, None)
    return OnnxValue(text(found[1]), dtype, tuple(number(each, 1) for each in parts(shapes[0], every=(1,))[1]))


def number(message: memoryview, field: int) -> int | None:
    """The last number of a field, signed; None when it is not there or no number."""
    found = None
    for each, wire, value in fields(message):
        if each == field and wire == VARINT and isinstance(value, int):
            found = value - (1 << 64) if value >= 1 << 63 else value
    return found


def scalar(tensor: memoryview) -> float | None:
    """The first number of a TensorProto of bool, int32, int64, float32 or float64; None for any other, or when it is empty."""
    code = number(tensor, 2)
    for field, wire, value in fields(tensor):
        if field == 9 and not isinstance(value, int):
            layout = {9: "<?", 6: "<i", 7: "<q", 1: "<f", 11: "<d", 2: "<B", 3: "<b"}.get(code or 0)
            size = struct.calcsize(layout) if layout else 0
            return float(struct.unpack(layout, value[:size])[0]) if layout and len(value) >= size else None
        if field in (5, 7):  # int32_data (of bool, too) and int64_data, packed or not
            return (
                float(value if isinstance(value, int) else value[0]) if wire == VARINT or len(_bytes(value)) else None
            )
        if field == 4 and not isinstance(value, int) and len(value) >= 4:
            return float(struct.unpack("<f", value[:4])[0])
    return None


def _bytes(value: int | memoryview) -> memoryview:
    return memoryview(b"") if isinstance(value, int) else value
