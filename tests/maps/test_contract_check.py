"""A contract on a scene: the numbers that the network gets and gives, and what looks wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from swath.errors import ImageryError
from swath.maps.contract_check import check_contract
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.model import ModelRef
from tests.imagery.rasters import write
from tests.models.tiny_models import export, tiny_contract, write_identity_model, write_integer_unet

BANDS = ("red", "green", "blue")


def test_inputs_and_outputs_are_those_of_the_window(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    pixels = random.integers(10, 250, (3, 90, 80)).astype(np.uint8)
    pixels[2] = 7
    scene = FilesImagery(paths=(str(write(tmp_path / "scene.tif", pixels, names=BANDS)),))
    path = write_identity_model(tmp_path)
    contract = json.loads((tmp_path / "identity.json").read_text())
    contract["mlm:input"][0]["value_scaling"] = [
        {"type": "scale", "value": 10}, {"type": "scale", "value": 1}, {"type": "scale", "value": 1},
    ]  # fmt: skip
    (tmp_path / "identity.json").write_text(json.dumps(contract))
    found = check_contract(ModelRef(path=str(path)), scene)
    red, green, blue = found.inputs
    seen = pixels.astype(np.float32)
    assert red[0] == "red"
    assert red[1:] == pytest.approx((seen[0].min() / 10, seen[0].mean() / 10, seen[0].max() / 10), rel=1e-5)
    assert green[1:] == pytest.approx((seen[1].min(), seen[1].mean(), seen[1].max()), rel=1e-5)
    assert blue[1:] == (7, 7, 7)
    assert found.outputs[1] == ("value-2", pytest.approx(seen[1].mean(), rel=1e-5))
    assert len(found.warnings) == 2
    assert found.warnings[0].startswith("band green is 10 to 249 for the network, mean 1")
    assert found.warnings[1] == "band blue is 7 everywhere"


def test_shares_of_classes_and_a_map_of_one_class(tmp_path: Path) -> None:
    path = write_integer_unet(tmp_path)
    random = np.random.default_rng(5)
    coarse = np.kron(random.integers(1, 200, (3, 15, 15)), np.ones((1, 8, 8))).astype(np.uint8)
    coarse[:, :20, :20] = 0
    scene = FilesImagery(paths=(str(write(tmp_path / "scene.tif", coarse, names=BANDS, nodata=0)),))
    found = check_contract(ModelRef(path=str(path)), scene)
    assert sum(share for _, share in found.outputs) == pytest.approx(1)
    assert not any("every pixel" in warning for warning in found.warnings)
    network = nn.Conv2d(3, 2, 1).eval()
    with torch.no_grad():
        network.bias.copy_(torch.tensor([0.0, 1e6]))
    (tmp_path / "one.json").write_text(json.dumps(tiny_contract("one", BANDS, 2)))
    one = ModelRef(path=str(export(network, 3, tmp_path / "one.pt2")))
    assert check_contract(one, scene).outputs == (("class-0", 0), ("class-1", 1))
    assert any("every pixel is class-1" in warning for warning in check_contract(one, scene).warnings)
    empty = FilesImagery(
        paths=(str(write(tmp_path / "no.tif", np.zeros((3, 64, 64), np.uint8), names=BANDS, nodata=0)),)
    )
    with pytest.raises(ImageryError, match="no valid pixel"):
        check_contract(ModelRef(path=str(path)), empty)
