"""Network input: scaling as the MLM extension defines it, padding, and memory in channels-last order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pystac.extensions.mlm import ValueScaling, ValueScalingType
from torch import nn

from swath.models.contract import Contract, ModelClass
from swath.models.contract_scaling import VALUE_SCALINGS
from swath.models.network_input import prepare

CLASSES = Contract(
    name="three",
    bands=("red", "green", "blue"),
    output="classes",
    classes=(ModelClass(10, "a", (0, 0, 0)), ModelClass(20, "b", (0, 0, 0)), ModelClass(30, "c", (0, 0, 0))),
)


VALUES = Contract(name="numbers", bands=("red",), output="values", dtype="uint8", nodata=255)


def picture(height: int, width: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Blobs and noise in whole numbers."""
    random = np.random.default_rng(seed)
    coarse = np.kron(random.integers(0, 200, (bands, height // 8 + 1, width // 8 + 1)), np.ones((1, 8, 8)))
    return (coarse[:, :height, :width] + random.integers(0, 56, (bands, height, width))).astype(np.uint8)


@pytest.mark.parametrize(
    ("step", "formula"),
    [
        ({"type": "min-max", "minimum": 10, "maximum": 60}, lambda x: (x - 10) / 50),
        ({"type": "z-score", "mean": 100, "stddev": 20}, lambda x: (x - 100) / 20),
        ({"type": "clip", "minimum": 10, "maximum": 60}, lambda x: np.clip(x, 10, 60)),
        ({"type": "clip-min", "minimum": 10}, lambda x: np.maximum(x, 10)),
        ({"type": "clip-max", "maximum": 60}, lambda x: np.minimum(x, 60)),
        ({"type": "offset", "value": 7}, lambda x: x - 7),
        ({"type": "scale", "value": 10000}, lambda x: x / 10000),
        ({"type": None}, lambda x: x),
    ],
)
def test_scaling_is_as_the_extension_says(step: dict[str, Any], formula: Any) -> None:
    pixels = np.array([[[0, 5, 10, 60, 255, 65535]]], np.uint16)
    scaled = prepare(pixels[None], np.ones((1, 1, 6), np.bool_), (step,), 1)[0]
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, formula(pixels.astype(np.float64)), rtol=1e-6)


def test_each_band_has_its_own_scaling_and_the_pixels_stay() -> None:
    steps = ({"type": "scale", "value": 2}, {"type": None}, {"type": "offset", "value": 1})
    pixels = np.full((3, 1, 1), 8, np.float32)
    prepared = prepare(pixels[None], np.ones((1, 1, 1), np.bool_), steps, 1)
    assert prepared.ravel().tolist() == [4, 8, 7]
    assert pixels.ravel().tolist() == [8, 8, 8]


def test_convolutions_see_pixels_whose_channels_lie_side_by_side() -> None:
    pixels = picture(16, 24)
    images = torch.from_numpy(prepare(pixels[None], np.ones((1, 16, 24), np.bool_), (), 8))
    # torch goes by the strides, that of the one image as well: seen in the other order, a U-Net takes twice as long.
    assert images.stride() == torch.empty(images.shape, memory_format=torch.channels_last).stride()
    with torch.inference_mode():
        assert nn.Conv2d(3, 8, 3)(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", VALUE_SCALINGS)
def test_the_scalings_are_those_of_the_extension(kind: str) -> None:
    assert set(VALUE_SCALINGS[kind]) == set(ValueScaling.get_required_props(ValueScalingType(kind)))
