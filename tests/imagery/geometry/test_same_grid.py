"""Grids that are the same pixels, and grids that are not."""

from __future__ import annotations

from affine import Affine
from odc.geo.geobox import GeoBox

from swath.imagery.geometry.same_grid import same_grid

BOX = GeoBox((4, 6), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")


def test_grids_are_compared_across_spellings_of_a_crs() -> None:
    spelled = GeoBox(BOX.shape, BOX.affine, "+proj=utm +zone=33 +datum=WGS84 +units=m +no_defs")
    assert same_grid(spelled, BOX)
    assert not same_grid(GeoBox(BOX.shape, BOX.affine, "EPSG:32733"), BOX)
    assert not same_grid(BOX, GeoBox((4, 6), BOX.affine, None))
    assert same_grid(GeoBox((4, 6), BOX.affine @ Affine.translation(0.009, 0), BOX.crs), BOX)
    assert not same_grid(GeoBox((4, 6), BOX.affine @ Affine.translation(0.011, 0), BOX.crs), BOX)
    assert not same_grid(GeoBox((6, 4), BOX.affine, BOX.crs), BOX)
