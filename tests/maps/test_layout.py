"""The layout of a map: sizes of regions."""

from __future__ import annotations

import pytest

from swath.geo import Window
from swath.maps.layout import choose_region_edge


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
