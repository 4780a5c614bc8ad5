"""The layout of a map: sizes of regions."""

from __future__ import annotations

import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.geo import Window
from swath.imagery.scene import Band, Scene, Scenes
from swath.maps.layout import choose_region_edge, grid_windows


@pytest.mark.parametrize(
    ("height", "width", "edge"),
    [
        (1, 1, 512),
        (1482, 1489, 512),
        (4096, 4096, 1024),
        (8192, 8192, 2048),
        (16384, 16384, 4096),
        (10**6, 10**6, 4096),
    ],
)
def test_a_map_has_several_regions_where_it_is_larger_than_a_tile(height: int, width: int, edge: int) -> None:
    assert choose_region_edge([Window(0, 0, height, width)], 512) == edge


def test_images_without_a_crs_are_mapped() -> None:
    grid = GeoBox((30, 40), Affine(1, 0, 0, 0, -1, 0), None)
    scenes = Scenes((Scene("plain", (Band("red", "plain.tif", 1, grid, "uint8"),)),), grid, ("red",))
    assert grid_windows((scenes,), None) == {0: Window(0, 0, 30, 40)}
