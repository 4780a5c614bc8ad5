"""Codes of types and first numbers of tensors are those of the onnx package."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from swath.models.safety.onnx_message import TYPES, scalar


def test_codes_of_types_are_those_of_onnx() -> None:
    other = {"float": "float32", "double": "float64"}
    named = {code: other.get(name.lower(), name.lower()) for name, code in TensorProto.DataType.items()}
    assert {code: named[code] for code in TYPES} == TYPES
    assert set(TYPES) == set(range(1, 17))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64", "float32", "float64"])
def test_the_first_number_of_raw_data_is_read(dtype: str) -> None:
    tensor = numpy_helper.from_array(np.array([1, 0], dtype), "x")
    assert tensor.raw_data
    assert scalar(memoryview(tensor.SerializeToString())) == 1.0


@pytest.mark.parametrize(
    ("kind", "value"), [(onnx.TensorProto.FLOAT, 0.5), (onnx.TensorProto.INT64, 7), (onnx.TensorProto.BOOL, 1)]
)
def test_the_first_number_of_a_list_is_read(kind: int, value: float) -> None:
    tensor = helper.make_tensor("x", kind, [2], [value, 0])
    assert scalar(memoryview(tensor.SerializeToString())) == value


def test_of_an_empty_tensor_or_another_type_nothing_is_known() -> None:
    for tensor in (
        helper.make_tensor("x", onnx.TensorProto.FLOAT, [0], []),
        numpy_helper.from_array(np.array([1], np.uint16), "x"),
    ):
        assert scalar(memoryview(tensor.SerializeToString())) is None
