"""Areas smaller than a pixel, or narrower, map the pixels that they touch; others those whose centre they hold."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from swath.geo import Window
from swath.imagery.geometry.image_grid import area_mask, output_window
from swath.imagery.geometry.thin_area import holds_centre, thin_area_note, touched_mask
from swath.spec.fields.area import Area

IMAGE = GeoBox((64, 64), Affine(10, 0, 500_000, 0, -10, 5_200_000), "EPSG:32632")


def area(*boxes: tuple[float, float, float, float]) -> Area:
    """Boxes (left, top, right, bottom) in pixels of IMAGE."""
    shapes = [
        shapely.box(500_000 + 10 * left, 5_200_000 - 10 * bottom, 500_000 + 10 * right, 5_200_000 - 10 * top)
        for left, top, right, bottom in boxes
    ]
    return Area(wkt=shapely.union_all(shapes).wkt, crs="EPSG:32632", source="fields.gpkg")


def mapped(chosen: Area) -> list[tuple[int, int]]:
    return [(int(row), int(col)) for row, col in zip(*np.nonzero(area_mask(chosen, IMAGE)), strict=True)]


@pytest.mark.parametrize(
    ("chosen", "pixels"),
    [
        (area((10.1, 20.1, 10.4, 20.4)), [(20, 10)]),
        (area((10.7, 20.1, 11.3, 20.4)), [(20, 10), (20, 11)]),
        (area((5.0, 7.0, 5.3, 7.3)), [(7, 5)]),  # a shared side is no touch
        (area((0, 20.1, 64, 20.4)), [(20, col) for col in range(64)]),
        (area((10.1, 20.1, 10.4, 20.4), (30.6, 40.6, 30.9, 40.9)), [(20, 10), (40, 30)]),
        (area((10.1, 20.1, 10.4, 20.4), (30.1, 40.1, 30.9, 40.9)), [(40, 30)]),
        (area((-5, 3.1, 0.2, 3.3)), [(3, 0)]),  # its centres lie outside of the image
    ],
)
def test_the_pixels_that_an_area_has(chosen: Area, pixels: list[tuple[int, int]]) -> None:
    assert mapped(chosen) == pixels
    window = output_window(IMAGE, chosen)
    assert area_mask(chosen, IMAGE, window).sum() == len(pixels)


def test_what_is_said_of_them() -> None:
    tiny = thin_area_note(area((10.1, 20.1, 10.4, 20.4)), IMAGE)
    assert tiny == (
        "the area (fields.gpkg) holds no centre of a pixel of 10 in EPSG:32632: the pixels that it touches are used"
    )
    some = thin_area_note(area((10.1, 20.1, 10.4, 20.4), (30, 40, 33, 43)), IMAGE)
    assert some == "1 of 2 polygons of the area hold no centre of a pixel of 10 in EPSG:32632, and have no pixel"
    assert thin_area_note(area((10, 20, 30, 40)), IMAGE) is None
    assert thin_area_note(area((100, 100, 130, 140)), IMAGE) is None  # outside of the image


coordinate = st.integers(-200, 6200).map(lambda hundredths: hundredths / 100 + 0.003)  # never a centre or a corner
length = st.integers(1, 600).map(lambda hundredths: hundredths / 100 + 0.0013)


@settings(max_examples=60, deadline=None)
@given(coordinate, coordinate, length, length, st.integers(1, 9), st.integers(1, 9))
def test_windows_agree_and_an_area_on_the_image_has_a_pixel(
    left: float, top: float, width: float, height: float, row: int, col: int
) -> None:
    chosen = area((left, top, left + width, top + height))
    whole = area_mask(chosen, IMAGE)
    centres = np.arange(64) + 0.5
    inside = np.outer((centres > top) & (centres < top + height), (centres > left) & (centres < left + width))
    assert holds_centre(chosen, IMAGE) == inside.any()
    on_image = left + width > 1e-3 and top + height > 1e-3
    assert whole.any() == on_image
    if inside.any():
        assert (whole == inside).all()
    for at in range(0, 55, 7):
        window = Window(at, at // 2, row, col)
        assert (area_mask(chosen, IMAGE, window) == whole[window.roi]).all()


def test_a_long_thin_area_is_searched_in_bounded_time() -> None:
    image = GeoBox((65536, 65536), Affine(10, 0, 500_000, 0, -10, 5_200_000), "EPSG:32632")
    line = shapely.LineString([(500_003, 5_199_998), (500_003, 4_544_700)]).buffer(1)
    thin = Area(wkt=line.wkt, crs="EPSG:32632")
    start = time.process_time()
    assert not holds_centre(thin, image)
    window = Window(30_000, 0, 512, 512)
    assert area_mask(thin, image, window).sum() == 512
    assert time.process_time() - start < 10


def test_touched_pixels_of_a_slanted_line_are_those_with_a_common_part() -> None:
    line = shapely.LineString([(3.2, 4.1), (60.7, 33.3)]).buffer(0.05)
    mask = touched_mask(line, Window(0, 0, 64, 64))
    for row, col in np.ndindex(64, 64):
        assert mask[row, col] == (line.intersection(shapely.box(col, row, col + 1, row + 1)).area > 1e-9)
