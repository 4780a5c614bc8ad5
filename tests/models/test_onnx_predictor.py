"""ONNX models: without onnxruntime, and with operators that it does not know yet."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import onnx
import pytest

from swath.errors import MissingExtra, ModelError
from swath.models.contract import Weights
from swath.models.load import format_of, load_model, weights_sha256
from swath.models.onnx_predictor import OnnxPredictor


def weights(path: Path, bands: int = 4, factory: str | None = None) -> Weights:
    return Weights(str(path), format_of(str(path)), weights_sha256(str(path)), factory, bands)


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


@pytest.mark.usefixtures("without_onnxruntime")
def test_a_missing_onnxruntime_names_its_extra(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "another-path.onnx"
    shutil.copy(shared / "data/models/clouds_rgbi.onnx", path)
    with pytest.raises(MissingExtra) as caught:
        load_model(weights(path))
    assert caught.value.remedy == "pip install 'swath[onnx]'"


def test_operators_newer_than_onnxruntime_are_not_called_a_damaged_file(tmp_path: Path) -> None:
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 1, "height", "width"])
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, [1, 1, "height", "width"])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["image"], ["result"])], "new", [image], [result])
    imports = [onnx.helper.make_opsetid("", 99)]
    path = tmp_path / "new.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())
    with pytest.raises(ModelError, match="pset 99") as caught:
        OnnxPredictor.load(str(path))
    assert caught.value.remedy.startswith("export it with an older opset")
