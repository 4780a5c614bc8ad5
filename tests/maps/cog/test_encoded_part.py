"""Encoded parts: what is added is what is decoded, and other strips are refused."""

from __future__ import annotations

import numpy as np
import pytest

from swath.geo import Window
from swath.maps.cog.encoded_part import PartBuilder, count_levels, encode_part
from swath.maps.cog.encoding import Encoding

CLASSES = Encoding("uint8", 255, classes=True, blocksize=16)
WINDOW = Window(32, 48, 40, 24)


def test_strips_are_the_part_of_the_whole() -> None:
    pixels = np.random.default_rng(1).integers(0, 3, (1, 40, 24), dtype=np.uint8)
    builder = PartBuilder(7, WINDOW, CLASSES, 2)
    builder.add(pixels[:, :32])
    builder.add(pixels[:, 32:])
    part = builder.part()
    assert part == encode_part(7, WINDOW, pixels, CLASSES, 2)
    assert (part.pixels() == pixels).all()
    assert (part.pixels(1) == CLASSES.downsample(pixels)).all()
    assert part.level(0)[1] == part.tile(0, 1)
    inner = Window(40, 50, 20, 9)
    assert (part.read(inner) == pixels[:, *inner.within(WINDOW)]).all()
    assert dict(part.counts) == {n: int((pixels == n).sum()) for n in range(3)}


def test_strips_of_known_values_are_counted_by_value_also_where_two_values_are_all() -> None:
    strip = np.zeros((1, 16, 24), np.uint8)
    strip[0, :3] = 1
    builder = PartBuilder(0, Window(0, 0, 48, 24), CLASSES, 1)
    for _ in range(3):  # the values of the second and third are known
        builder.add(strip)
    assert dict(builder.part().counts) == {0: 3 * 13 * 24, 1: 3 * 3 * 24}


def test_sums_are_of_valid_pixels_only() -> None:
    values = np.full((2, 16, 16), np.nan, np.float32)
    values[0, 0, :2] = 1, 3
    part = encode_part(0, Window(0, 0, 16, 16), values, Encoding("float32", float("nan"), 2, blocksize=16))
    assert part.valid == 2
    assert part.sums == (((2, 1, 3, 4, 10), (0, 0, 0, 0, 0)),)


def test_a_strip_of_another_shape_or_dtype_and_a_missing_strip_are_refused() -> None:
    builder = PartBuilder(0, WINDOW, CLASSES, 1)
    for strip in (np.zeros((1, 16, 25), np.uint8), np.zeros((1, 16, 24), np.int16), np.zeros((2, 16, 24), np.uint8)):
        with pytest.raises(ValueError, match="are no strip"):
            builder.add(strip)
    builder.add(np.zeros((1, 16, 24), np.uint8))
    with pytest.raises(ValueError, match="16 rows were added to a region of 40"):
        builder.part()


@pytest.mark.parametrize(("region", "levels"), [(16, 1), (32, 2), (48, 1), (64, 3), (1024, 5)])
def test_levels_are_those_whose_tiles_lie_in_one_region(region: int, levels: int) -> None:
    assert count_levels(region, 16, 5) == levels
