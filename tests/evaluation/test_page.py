"""Pictures of an evaluation's page have the colours of the classes, and images are stretched without wrapping."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from swath.evaluation.page import class_picture, image_picture


def decoded(picture: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        return np.asarray(image)


def test_classes_have_their_colours_and_pixels_without_one_are_grey() -> None:
    found = decoded(class_picture(np.array([[0, 1, 255, 2]], np.uint8), [(1, 2, 3), (250, 0, 9)]))
    assert found.tolist() == [[[1, 2, 3], [250, 0, 9], [150, 150, 150], [150, 150, 150]]]


def test_an_image_is_stretched_between_its_percentiles_and_cut_beyond_them() -> None:
    layer = 1000 + np.arange(101.0)[None]
    valid = np.ones((1, 101), bool)
    valid[0, 100] = False
    layer[0, 100] = 1e6  # no data
    found = decoded(image_picture(np.stack([layer, 2 * layer, layer]), valid))
    low, high = np.percentile(layer[0, :100], (2, 98))
    expected = np.clip(255 * (layer[0, :100] - low) / (high - low), 0, 255).astype(np.uint8)
    for band in range(3):
        assert found[0, :100, band].tolist() == expected.tolist()
    assert found[0, 100].tolist() == [150, 150, 150]
    assert (found[0, 0].tolist(), found[0, 99].tolist()) == ([0, 0, 0], [255, 255, 255])


def test_one_band_is_grey_and_an_image_of_nothing_can_be_drawn() -> None:
    found = decoded(image_picture(np.array([[[0, 10, 20]]]), np.ones((1, 3), bool)))
    assert (found == found[..., :1]).all()
    nothing = decoded(image_picture(np.zeros((3, 1, 2)), np.zeros((1, 2), bool)))
    assert nothing.tolist() == [[[150, 150, 150], [150, 150, 150]]]


def test_an_image_of_one_value_is_black_and_no_division_by_zero() -> None:
    with np.errstate(all="raise"):
        assert not decoded(image_picture(np.full((3, 2, 2), 7.0), np.ones((2, 2), bool))).any()
