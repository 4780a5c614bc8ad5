"""Read protobuf messages field by field, without a schema compiler: bounds are checked, nothing is copied but what is asked for.

The wire format is that of https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_VARINT_BYTES = 10

Field = tuple[int, int, int | memoryview]
"""Number, wire type, and the value: a number, or bytes."""


class DamagedMessage(Exception):
    """The bytes are no protobuf message, or end too early."""


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order. Raises DamagedMessage."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise DamagedMessage(f"a field numbered {number}")
        match wire:
            case 0:
                value, at = _varint(message, at)
                yield number, wire, value
                continue
            case 1 | 5:
                size = 8 if wire == FIXED64 else 4
            case 2:
                size, at = _varint(message, at)
            case _:
                raise DamagedMessage(f"a field of wire type {wire}")
        if size > end - at:
            raise DamagedMessage("it ends too early")
        yield number, wire, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_BYTES):
        if at + index >= len(message):
            raise DamagedMessage("it ends too early")
        byte = message[at + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value & (1 << 64) - 1, at + index + 1
    raise DamagedMessage("a number of more than ten bytes")
