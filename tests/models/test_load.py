"""Loading: every form of the same weights agrees, and nothing that is not weights is opened."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window
from safetensors.torch import save_file
from torch import nn

from swath.errors import MissingExtra, ModelError
from swath.models.contract import Weights
from swath.models.info import fingerprint
from swath.models.load import OnnxPredictor, TorchPredictor, digest, format_of, load
from swath.models.unet import UNet
from swath.spec.fields.model import ModelRef
from tests.models.cloud_contracts import ENDINGS, FACTORIES, write_cloud_contract
from tests.models.tiny_models import tiny_contract, write_identity_model


def weights(path: Path, bands: int = 4, factory: str | None = None) -> Weights:
    return Weights(str(path), format_of(str(path)), digest(str(path)), factory, bands)


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
        found = fingerprint(ref)
        assert (found.format, found.bands) == (fmt, 4)
        results[fmt] = load(found)(images)
        assert isinstance(load(found), OnnxPredictor if fmt == "onnx" else TorchPredictor)
    for fmt, result in results.items():
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, results["pt2"], atol=1e-5, err_msg=fmt)
    assert results["pt2"].min() < 0.1 < 0.9 < results["pt2"].max()


def test_a_process_loads_the_same_weights_once_and_on_one_thread(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path)
    assert load(weights(path, 3)) is load(weights(path, 3))
    assert torch.get_num_threads() == 1


def test_weights_that_changed_during_a_run_are_refused(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path)
    before = weights(path, 3)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(ModelError, match="have changed since the run began"):
        load(before)


class Attack:
    """Unpickling it makes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.folder),))


def test_a_pickled_checkpoint_is_refused_unopened(tmp_path: Path) -> None:
    proof = tmp_path / "opened"
    for name, legacy in (("zip.pt", True), ("plain.pt", False)):
        torch.save({"weights": Attack(proof)}, tmp_path / name, _use_new_zipfile_serialization=legacy)
        with pytest.raises(ModelError, match="not TorchScript; it looks like a pickled checkpoint"):
            load(weights(tmp_path / name))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Attack(proof)))
    with pytest.raises(ModelError, match="not a form of weights"):
        weights(tmp_path / "model.pkl")
    assert not proof.exists()


@pytest.mark.parametrize("where", ["sample_inputs/model.pt", "weights", "constants", "aotinductor/model/x.so"])
def test_a_pickle_inside_an_exported_program_is_refused_unopened(tmp_path: Path, where: str) -> None:
    proof = tmp_path / "opened"
    path = write_identity_model(tmp_path)
    dressed = tmp_path / "dressed.pt2"
    inside = tmp_path / "inside.pt"
    torch.save((Attack(proof),), inside)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(dressed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith(where):
                data = inside.read_bytes()
            if name.endswith(f"{where}/model_{where}_config.json"):
                entry = {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}
                if where == "constants":
                    entry["path_name"] = "opaque_obj_0"
                data = json.dumps({"config": {"x": entry}}).encode()
                target.writestr(f"{name.rpartition('/')[0]}/{entry['path_name']}", inside.read_bytes())
            target.writestr(name, data)
        if where.startswith("aotinductor"):
            target.writestr(f"dressed/data/{where}", b"\x7fELF")
    with pytest.raises(ModelError, match="pickled objects or compiled code"):
        load(weights(dressed, 3))
    assert not proof.exists()


@pytest.mark.parametrize("ending", [".pt2", ".onnx", ".safetensors", ".torchscript"])
def test_a_web_page_in_place_of_weights_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model{ending}"
    path.write_text("<!DOCTYPE html><title>404</title>")
    with pytest.raises(ModelError, match=f"model{ending}: "):
        load(weights(path, factory="swath.models.unet:UNet" if ending == ".safetensors" else None))


def test_safetensors_fit_their_factory_or_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    save_file(UNet(4, 2).state_dict(), path)
    assert load(weights(path, factory="swath.models.unet:UNet"))(np.zeros((1, 4, 16, 16), np.float32)).shape[1] == 2
    save_file(UNet(5, 2).state_dict(), path)
    with pytest.raises(ModelError, match="do not fit the network of factory"):
        load(weights(path, factory="swath.models.unet:UNet"))


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (None, "the factory is missing"),
        ("swath.models.unet", "must be module:function"),
        ("no_such_package.nets:make", "cannot import no_such_package.nets"),
        ("swath.models.unet:lake", "module swath.models.unet has no lake"),
        ("swath.models.unet:_convolve", "callable without arguments"),
        ("builtins:dict", "gave dict, not a torch.nn.Module"),
    ],
)
def test_a_factory_that_does_not_work_says_why(tmp_path: Path, factory: str | None, message: str) -> None:
    path = tmp_path / "unet.safetensors"
    save_file(UNet(1, 2).state_dict(), path)
    with pytest.raises(ModelError, match=message):
        load(weights(path, factory=factory))


def test_a_factory_for_weights_that_bring_their_own_network_is_refused(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path)
    with pytest.raises(ModelError, match=r"a factory only goes with \.safetensors"):
        fingerprint(ModelRef(path=str(path), factory="a:b"))


def test_missing_weights_and_unknown_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        fingerprint(ModelRef(path=str(tmp_path / "water.pt2")))
    with pytest.raises(ModelError, match="not a kind of address"):
        fingerprint(ModelRef(path="nosuch://bucket/water.pt2", contract=str(tmp_path / "water.json")))


def test_a_model_that_changes_height_and_width_is_refused() -> None:
    predictor = TorchPredictor(nn.MaxPool2d(2), "half.pt2")
    with pytest.raises(ModelError, match=r"half\.pt2: images of shape \(1, 3, 8, 8\) became \(1, 3, 4, 4\)"):
        predictor(np.zeros((1, 3, 8, 8), np.float32))


def test_images_that_a_model_refuses_are_named_with_their_shape(shared: Path) -> None:
    for ending in (".pt2", ".onnx", ".torchscript.pt"):
        predictor = load(weights(shared / "data/models" / f"clouds_rgbi{ending}"))
        with pytest.raises(ModelError, match="refuses images of 1 x 4 x 33 x 64"):
            predictor(np.zeros((1, 4, 33, 64), np.float32))


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


@pytest.mark.usefixtures("without_onnxruntime")
def test_a_missing_onnxruntime_names_its_extra(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "another-path.onnx"
    shutil.copy(shared / "data/models/clouds_rgbi.onnx", path)
    with pytest.raises(MissingExtra) as caught:
        load(weights(path))
    assert caught.value.remedy == "pip install 'swath[onnx]'"


def test_external_data_of_an_onnx_model_is_part_of_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"graph")
    alone = digest(str(path))
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    assert digest(str(path)) != alone


def test_the_identity_model_has_a_contract(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path, ("red", "nir"), "uint16", 7)
    assert fingerprint(ModelRef(path=str(path))).bands == 2
    assert json.loads((tmp_path / "identity.json").read_text()) == tiny_contract(
        "identity", ("red", "nir"), 2, output="values", dtype="uint16", nodata=7
    )


def test_images_whose_memory_is_pixel_by_pixel_are_not_copied_and_no_order_changes_the_result() -> None:
    seen: list[int] = []

    class Pointed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.data_ptr())
            return images * 2

    predictor = TorchPredictor(Pointed(), "m.pt2")
    pixels = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 4, 5, 3)
    images = pixels.transpose(0, 3, 1, 2)
    given = predictor(images)
    assert seen == [pixels.ctypes.data]
    assert given.strides == images.strides
    for same in (
        np.ascontiguousarray(images),
        np.ascontiguousarray(images[..., ::-1])[..., ::-1],
    ):
        np.testing.assert_array_equal(predictor(same), images * 2)
    assert pixels.ctypes.data not in seen[1:]
