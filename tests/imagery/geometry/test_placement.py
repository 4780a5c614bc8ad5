"""Placement: exact where grids share their pixels, some pixels too many elsewhere."""

from __future__ import annotations

from affine import Affine
from odc.geo.geobox import GeoBox

from swath.geo import Window
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.placement import band_window, placement

IMAGE = GeoBox((100, 100), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")


def test_a_band_on_the_images_pixels_has_its_own_window_also_outside_of_the_image() -> None:
    band = GeoBox((20, 30), Affine(10, 0, 499_900, 0, -10, 4_999_950), "EPSG:32633")
    assert placement(band, IMAGE) == (Window(5, -10, 20, 30), True)


def test_a_band_that_is_warped_gets_room_for_the_interpolation() -> None:
    for band in (
        GeoBox((20, 30), Affine(60, 0, 500_005, 0, -60, 4_999_955), "EPSG:32633"),
        GeoBox((200, 300), Affine(0.0001, 0, 15, 0, -0.0001, 45.15), "EPSG:4326"),
    ):
        window, native = placement(band, IMAGE)
        left, top, right, bottom = extent_pixels(band, IMAGE)
        assert not native
        assert window == band_window(band, IMAGE)
        assert window.col <= left - 2
        assert window.row <= top - 2
        assert window.stop_col >= right + 2
        assert window.stop_row >= bottom + 2
