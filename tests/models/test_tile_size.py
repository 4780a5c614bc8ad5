"""Tile sizes: larger where the halo costs much."""

from __future__ import annotations

import pytest

from swath.models.contract import Contract, ModelInfo
from swath.models.tile_size import tile_edge

CONTRACT = Contract("test", ("red",), "classes")


@pytest.mark.parametrize(
    ("radius", "stride", "edge"),
    [(0, 1, 512), (2, 1, 512), (16, 8, 512), (24, 8, 1024), (48, 8, 1024), (400, 32, 1024), (2, 2048, 2048)],
)
def test_a_halo_that_costs_much_gets_larger_tiles_up_to_a_bound(radius: int, stride: int, edge: int) -> None:
    assert tile_edge(ModelInfo("m.pt2", "pt2", "0", CONTRACT, None, radius, stride, True)) == edge
