"""The ground of windows and regions, against the area of one pixel in a UTM zone and of a belt of the Earth in degrees."""

from __future__ import annotations

import dataclasses

import pytest
from odc.geo.geobox import GeoBox

from swath.geo import Blocks, Regions, Window
from swath.maps.ground import regions_km2, window_km2
from tests.maps.case import Case

EARTH = GeoBox.from_bbox((-180, -90, 180, 90), "EPSG:4326", resolution=0.5)


def test_a_window_of_a_utm_grid_has_the_area_of_its_pixels(case: Case) -> None:
    side = abs(case.scenes.image.resolution.x)
    assert window_km2(case.scenes.image, Window(10, 10, 20, 30)) == pytest.approx(600 * side**2 / 1e6, rel=0.002)


def test_regions_in_degrees_cover_the_earth(case: Case) -> None:
    scenes = dataclasses.replace(case.scenes, image=EARTH)
    whole = Blocks(EARTH, Window(0, 0, *EARTH.shape), 16, 0, 1)
    assert regions_km2(Regions((whole,), (0,)), (scenes,)) == pytest.approx(510_065_622, rel=0.002)
    assert window_km2(EARTH, Window(0, 0, 1, 720)) < window_km2(EARTH, Window(180, 0, 1, 720)) / 50
