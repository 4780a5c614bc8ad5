"""Encoding: tiles come back as they were, overviews are what counting gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.maps.cog.encoding import Encoding


def test_overviews_take_the_most_frequent_class_and_the_mean_of_numbers() -> None:
    quarters = np.array([[1, 1, 255, 255, 2, 3, 1, 0], [2, 3, 255, 4, 3, 2, 2, 255]], np.uint8)[None]
    assert Encoding("uint8", 255, classes=True).downsample(quarters).tolist() == [[[1, 4, 2, 1]]]
    numbers = np.array([[1, 2, 0, 0, 7], [3, 4, 0, 5, 0]], np.uint16)[None]
    assert Encoding("uint16", 0).downsample(numbers).tolist() == [[[2, 5, 7]]]
    floats = np.array([[1, 2, np.nan], [3, 4, np.nan]], np.float32)[None]
    np.testing.assert_array_equal(Encoding("float32", math.nan).downsample(floats), [[[2.5, np.nan]]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_overview_of_classes_is_what_counting_gives(seed: int) -> None:
    four = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (1, 2, 64))
    made = Encoding("uint8", 255, classes=True).downsample(four)[0, 0]
    for column, found in enumerate(made):
        votes = [v for v in four[0, :, 2 * column : 2 * column + 2].ravel().tolist() if v != 255]
        expected = max(votes, key=lambda v: (votes.count(v), -votes.index(v))) if votes else 255
        assert found == expected


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_a_tile_is_decoded_to_what_it_was(dtype: str) -> None:
    encoding = Encoding(dtype, 0, 3, blocksize=32)
    random = np.random.default_rng(3)
    tile = random.normal(0, 60, (3, 20, 32)).astype(dtype)
    assert np.array_equal(encoding.decode(encoding.encode(tile))[:, :20], tile)


def test_overviews_of_flags_take_the_most_frequent_valid_value_whatever_dtype_and_alpha() -> None:
    flags = Encoding("uint16", 1.0, categorical=True)
    pixels = np.array([[[8, 9, 1, 1], [9, 7, 1, 5], [8, 9, 1, 1], [7, 6, 1, 1]]], np.uint16)
    assert flags.downsample(pixels).tolist() == [[[9, 5], [8, 1]]]
    alpha = Encoding("uint8", 0.0, 2, categorical=True, alpha=True)
    values = np.array([[[0, 0, 3, 4], [7, 7, 4, 4]], [[0, 0, 255, 0], [255, 255, 0, 255]]], np.uint8)
    assert alpha.downsample(values).tolist() == [[[7, 3]], [[255, 255]]]
    values[1, 0, :2] = 255
    assert alpha.downsample(values)[0].tolist() == [[0, 3]]  # of two pairs the first
    assert flags.downsample(pixels[:, :3, :3]).shape == (1, 2, 2)
