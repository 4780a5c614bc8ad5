"""Descriptions of a model: its weights' checksum and contract, and what is refused before any network is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from swath.errors import ModelError
from swath.models.contract import ReceptiveField
from swath.models.info import describe, inspect, measure_weights, weights_of
from swath.models.unet import UNet
from swath.spec.fields.model import ModelRef
from tests.models.cloud_contracts import write_cloud_contract
from tests.models.tiny_models import export, tiny_contract, write_identity_model, write_integer_unet


def test_a_factory_for_weights_that_bring_their_own_network_is_refused(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path)
    with pytest.raises(ModelError, match=r"a factory is for \.safetensors"):
        weights_of(ModelRef(path=str(path), factory="a:b"))


def test_missing_weights_and_unknown_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file"):
        weights_of(ModelRef(path=str(tmp_path / "water.pt2")))
    with pytest.raises(ModelError, match="not a protocol that can be opened"):
        weights_of(ModelRef(path="nosuch://bucket/water.pt2", contract=str(tmp_path / "water.json")))


def test_the_identity_model_has_a_contract(tmp_path: Path) -> None:
    path = write_identity_model(tmp_path, ("red", "nir"), "uint16", 7)
    assert weights_of(ModelRef(path=str(path))).bands == 2
    assert json.loads((tmp_path / "identity.json").read_text()) == tiny_contract(
        "identity", ("red", "nir"), 2, output="values", dtype="uint16", nodata=7
    )


def ref(folder: Path, **more: str) -> ModelRef:
    torch.manual_seed(2)
    (folder / "unet.json").write_text(json.dumps(tiny_contract("unet", ["red", "green", "blue"], 2)))
    path = export(UNet(3, 2, width=8, depth=1), 3, folder / "unet.pt2", multiple=2)
    return ModelRef.model_validate({"path": str(path), **more})


def test_precision_of_the_spec_reaches_the_model(tmp_path: Path) -> None:
    wanted = ref(tmp_path, precision="bfloat16", device="cpu")
    assert describe(wanted, ReceptiveField(5, 2, True)).precision == "bfloat16"


def test_float16_on_the_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="float16 is for GPUs"):
        inspect(ref(tmp_path, precision="float16", device="cpu"))


@pytest.mark.parametrize(
    ("more", "asked"), [({"precision": "bfloat16"}, "precision bfloat16"), ({"device": "cuda"}, "device cuda")]
)
def test_onnx_models_run_in_float32_on_the_cpu_only(
    shared: Path, tmp_path: Path, more: dict[str, str], asked: str
) -> None:
    contract = write_cloud_contract(tmp_path / "c.json", "clouds_rgbi", "onnx")
    model = {"path": str(shared / "data/models/clouds_rgbi.onnx"), "contract": str(contract), **more}
    with pytest.raises(ModelError, match=asked):
        weights_of(ModelRef.model_validate(model))


def test_what_was_measured_before_describes_the_model_without_loading_it(tmp_path: Path) -> None:
    ref = ModelRef(path=str(write_integer_unet(tmp_path)))
    weights = weights_of(ref)
    receptive = measure_weights(weights)
    info = describe(ref, receptive)
    assert info == inspect(ref)
    assert (info.sha256, info.radius, info.stride, info.exact) == (weights.sha256, receptive.radius, 4, True)
    assert info.contract.bands == ("red", "green", "blue")
