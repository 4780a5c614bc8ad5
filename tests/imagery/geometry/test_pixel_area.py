"""Areas of pixels: those of the ellipsoid, on any grid."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.imagery.geometry.pixel_area import PixelArea


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (Affine(0.001, 0, -78, 0, -0.001, 60), "EPSG:4326"),
        (Affine(0.15, 0, 3.6e6, 0, -0.15, 4e6), "EPSG:3857"),
        (Affine(30, 0, -9000, 0, -30, 9000), "EPSG:3413"),
        (Affine(3, 1, 980_000, 1, -3, 200_000), "EPSG:2263"),
        (Affine(0.01, 0, 179, 0, -0.01, -70), "EPSG:4326"),
        (Affine(25, 10, 400_000, 10, -25, 2_800_000), "EPSG:32618"),
    ],
    ids=["degrees", "Mercator", "over the pole", "feet", "antimeridian", "rotated"],
)
def test_the_area_of_pixels_is_the_ellipsoids(transform: Affine, crs: str) -> None:
    ground = PixelArea.of(GeoBox((600, 600), transform, crs))
    assert ground is not None
    geod = pyproj.Geod(ellps="WGS84")
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    along = np.linspace(0, 1, 9)[:-1]
    side = 20  # pixels
    for row, column in [(0, 0), (290, 290), (431, 77), (580, 580)]:
        columns = column + side * np.concatenate([along, np.ones(8), 1 - along, np.zeros(8)])
        rows = row + side * np.concatenate([np.zeros(8), along, np.ones(8), 1 - along])
        x = transform.a * columns + transform.b * rows + transform.c
        y = transform.d * columns + transform.e * rows + transform.f
        expected = abs(geod.polygon_area_perimeter(*to_degrees.transform(x, y))[0])
        inner = np.arange(side) + 0.5
        total = ground.area_m2(
            *(each.ravel() for each in np.meshgrid(row + inner, column + inner, indexing="ij"))
        ).sum()
        assert total == pytest.approx(expected, rel=5e-5)
