"""ONNX models without onnxruntime."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from swath.errors import MissingExtra
from swath.models.contract import Weights
from swath.models.load import format_of, load_model, weights_sha256


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
