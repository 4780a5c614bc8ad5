"""The U-Net, and the demo model that is made of it."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from swath.geo import Window
from swath.models.infer import infer
from swath.models.info import inspect
from swath.models.load import load_model
from swath.models.unet import UNet
from swath.spec.fields.model import ModelRef

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize(("bands", "classes", "width", "depth"), [(4, 2, 8, 3), (1, 5, 4, 1), (13, 3, 6, 2)])
def test_a_unet_keeps_height_and_width(bands: int, classes: int, width: int, depth: int) -> None:
    images = torch.zeros(2, bands, 3 * 2**depth, 5 * 2**depth)
    assert UNet(bands, classes, width, depth)(images).shape == (2, classes, *images.shape[2:])


def test_the_default_unet_is_small() -> None:
    assert sum(weights.numel() for weights in UNet(4, 2).parameters()) == 121258


def test_the_demo_model_is_small_and_names_no_folder_of_the_machine_that_made_it() -> None:
    assert all((MODELS / name).stat().st_size < 2_000_000 for name in ("water.pt2", "water.json"))
    with zipfile.ZipFile(MODELS / "water.pt2") as archive:
        text = b"".join(archive.read(name) for name in archive.namelist())
    assert not any(word in text for word in (b"site-packages", b"/home", b"/root", b"/tmp"))


def test_the_demo_model_says_how_good_it_is_and_where_it_comes_from() -> None:
    contract = json.loads((MODELS / "water.json").read_text())
    assert min(contract["swath:metrics"]["iou"].values()) >= 0.92
    assert np.sum(contract["swath:metrics"]["confusion"]) == sum(contract["swath:training"]["pixels"]["validation"])
    assert re.fullmatch("[0-9a-f]{40}", contract["swath:training"]["git_commit"])
    assert "localtileserver" in contract["swath:licence"]


def test_the_demo_model_tells_water_from_land() -> None:
    info = inspect(ModelRef(path=str(MODELS / "water.pt2")))
    assert (info.contract.bands, info.stride, info.exact) == (("blue", "green", "red", "nir"), 8, True)
    assert info.halo == info.radius < 64
    # Typical numbers of the scene: dark in the near infrared on the left, dry ground on the right.
    pixels = np.empty((4, 120, 160), np.uint8)
    for band, (wet, dry) in enumerate([(45, 55), (40, 60), (28, 75), (12, 80)]):
        pixels[band, :, :80], pixels[band, :, 80:] = wet, dry
    pixels += np.random.default_rng(0).integers(0, 3, pixels.shape).astype(np.uint8)
    window = Window(0, 0, 120, 160)
    classes, valid = infer(load_model(info), info, pixels, np.ones(window.shape, np.bool_), window, window)
    assert valid.all()
    assert (classes[0, :, :60] == 1).mean() > 0.95
    assert (classes[0, :, 100:] == 0).mean() > 0.95
