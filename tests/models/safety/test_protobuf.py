"""Protobuf's wire format: fields in their order, and no read over the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.models.safety.protobuf import BYTES, FIXED32, FIXED64, VARINT, DamagedMessage, fields


def test_fields_of_each_type() -> None:
    message = b"\x08\x96\x01" + b"\x12\x02hi" + b"\x1d1234" + b"\x2112345678"
    found = [
        (number, wire, value if isinstance(value, int) else bytes(value))
        for number, wire, value in fields(memoryview(message))
    ]
    assert found == [(1, VARINT, 150), (2, BYTES, b"hi"), (3, FIXED32, b"1234"), (4, FIXED64, b"12345678")]


@pytest.mark.parametrize(
    "message",
    [b"\x08", b"\x08\x80", b"\x12\x05hi", b"\x1d123", b"\x21", b"\x0b", b"\x0c", b"\x0e", b"\x00\x00", b"\x08" + b"\xff" * 11,
     b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"],
)  # fmt: skip
def test_damaged_messages(message: bytes) -> None:
    with pytest.raises(DamagedMessage):
        list(fields(memoryview(message)))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_damaged(message: bytes) -> None:
    try:
        for _, wire, value in fields(memoryview(message)):
            assert (wire == VARINT) == isinstance(value, int)
    except DamagedMessage:
        pass
