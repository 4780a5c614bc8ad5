"""Loading: every form of the same weights agrees, and nothing that is not weights is opened."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window

from swath.errors import ModelError
from swath.models.contract import Weights
from swath.models.info import weights_of
from swath.models.load import check_file, format_of, load_model, weights_sha256
from swath.models.onnx_predictor import OnnxPredictor
from swath.models.torch_predictor import TorchPredictor
from swath.spec.fields.model import ModelRef
from tests.models.cloud_contracts import ENDINGS, FACTORIES, write_cloud_contract
from tests.models.tiny_models import write_identity_model


def weights(path: Path, bands: int = 4, factory: str | None = None) -> Weights:
    return Weights(str(path), format_of(str(path)), weights_sha256(str(path)), factory, bands)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")  # the labelled images have none
def test_every_form_of_the_cloud_model_gives_the_same(shared: Path, tmp_path: Path) -> None:
    with rasterio.open(shared / "data/labels/clouds/sentinel2_img.tif") as image:
        pixels = image.read([1, 2, 3, 4], window=Window(0, 0, 256, 160)) / np.float32(10000)
    images = np.stack([pixels, pixels[:, ::-1]])
    results = {}
    for fmt, ending in ENDINGS.items():
        contract = write_cloud_contract(tmp_path / f"{fmt}.json", "clouds_rgbi", fmt)
        factory = FACTORIES["clouds_rgbi"] if fmt == "safetensors" else None
        path = shared / "data/models" / f"clouds_rgbi{ending}"
        ref = ModelRef(path=str(path), contract=str(contract), factory=factory)
        found = weights_of(ref)
        assert (found.format, found.bands) == (fmt, 4)
        results[fmt] = load_model(found)(images)
        assert isinstance(load_model(found), OnnxPredictor if fmt == "onnx" else TorchPredictor)
    for fmt, result in results.items():
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, results["pt2"], atol=1e-5, err_msg=fmt)
    assert results["pt2"].min() < 0.1 < 0.9 < results["pt2"].max()


def test_a_process_loads_the_same_weights_once_and_on_one_thread(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path)
    assert load_model(weights(path, 3)) is load_model(weights(path, 3))
    assert torch.get_num_threads() == 1


def test_weights_that_changed_during_a_run_are_refused(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path)
    before = weights(path, 3)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="have changed since the run began"):
        load_model(before)


@pytest.mark.parametrize("ending", [".pt2", ".onnx", ".safetensors", ".torchscript"])
def test_a_web_page_in_place_of_weights_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    path.write_text("<!DOCTYPE html><title>404</title>")
    with pytest.raises(ModelError, match=f"model{ending}: "):
        load_model(weights(path, factory="swath.models.unet:UNet" if ending == ".safetensors" else None))


def test_images_that_a_model_refuses_are_named_with_their_shape(shared: Path) -> None:
    for ending in (".pt2", ".onnx", ".torchscript.pt"):
        predictor = load_model(weights(shared / "data/models" / f"clouds_rgbi{ending}"))
        with pytest.raises(ModelError, match="refuses images of 1 x 4 x 33 x 64"):
            predictor(np.zeros((1, 4, 33, 64), np.float32))


def test_external_data_of_an_onnx_model_is_part_of_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"graph")
    alone = weights_sha256(str(path))
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    assert weights_sha256(str(path)) != alone


def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    good = write_identity_model(tmp_path).read_bytes()
    for name, form, data in (("a.pt2", "pt2", good[:900]), ("a.pt", "torchscript", good), ("a.onnx", "onnx", good)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelError, match=re.escape(name)) as caught:
            check_file(str(tmp_path / name), form)  # type: ignore[arg-type]
        assert caught.value.remedy
