"""Footprints: whole at poles and at the antimeridian."""

from __future__ import annotations

import time

import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.imagery.geometry.footprint import grid_footprint, to_degrees

RAT_ISLANDS = (
    "MULTIPOLYGON (((179.3 51.3, 180 51.3, 180 52.2, 179.3 52.2, 179.3 51.3)),"
    " ((-180 51.3, -179.2 51.3, -179.2 52.2, -180 52.2, -180 51.3)))"
)


def grid_of(height: int, width: int, affine: Affine, crs: str | None) -> GeoBox:
    return GeoBox((height, width), affine, crs)


def test_a_footprint_round_the_pole_holds_the_pole() -> None:
    polar = grid_of(100, 100, Affine(10_000, 0, -500_000, 0, -10_000, 500_000), "EPSG:3031")
    ground = grid_footprint(polar)
    assert ground.contains(shapely.Point(10, -89.9))
    assert ground.contains(shapely.Point(-170, -86))
    assert not ground.intersects(shapely.Point(0, -80))


def test_wrapped_and_unsplit_rings_are_the_split_area() -> None:
    split = shapely.from_wkt(RAT_ISLANDS)
    for ring in ((179.3, 180.8), (179.3, -179.2)):
        west, east = ring
        other = to_degrees(
            shapely.Polygon([(west, 51.3), (east, 51.3), (east, 52.2), (west, 52.2), (west, 51.3)]),
            "EPSG:4326",
            wrapped=True,
        )
        assert other.symmetric_difference(split).area < 1e-9


def test_thousands_of_holes_stay_holes_and_take_seconds() -> None:
    side = 70
    holes = [
        shapely.box(x, y, x + 40, y + 40).exterior
        for x in range(500_100, 500_100 + 100 * side, 100)
        for y in range(5_000_100, 5_000_100 + 100 * side, 100)
    ]
    land = shapely.Polygon(shapely.box(500_000, 5_000_000, 507_200, 5_007_200).exterior, holes)
    began = time.perf_counter()
    found = to_degrees(land, "EPSG:32633")
    assert time.perf_counter() - began < 30
    assert len(shapely.get_rings(shapely.get_parts(found))) == 1 + side * side
    filled = to_degrees(shapely.Polygon(land.exterior), "EPSG:32633")
    assert abs(found.area / filled.area - land.area / 7_200**2) < 1e-5
