"""Coordinates of pixels to 3 mm, and buffers that hold everything within their distance."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.geo import Window
from swath.imagery.geometry.lonlat import buffer_metres, pixel_lonlat

GRIDS = {
    "UTM": GeoBox((2000, 2000), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633"),
    "rotated": GeoBox((2000, 2000), Affine(8, 3, 500_000, 3, -8, 5_000_000), "EPSG:32633"),
    "degrees": GeoBox((2000, 2000), Affine(0.0001, 0, 15, 0, -0.0001, 45), "EPSG:4326"),
    "antimeridian": GeoBox((2000, 2000), Affine(30, 0, 640_000, 0, -30, 5_700_000), "EPSG:32660"),
}


@pytest.mark.parametrize("name", GRIDS)
def test_coordinates_are_those_of_pyproj_to_three_millimetres_in_any_window(name: str) -> None:
    grid, window = GRIDS[name], Window(333, 1207, 90, 110)
    longitude, latitude = pixel_lonlat(grid, window)
    col, row = np.meshgrid(np.arange(1207, 1317) + 0.5, np.arange(333, 423) + 0.5)
    x, y = grid.affine @ (col, row)
    exact = pyproj.Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True).transform(x, y)
    _, _, metres = pyproj.Geod(ellps="WGS84").inv(longitude, latitude, *exact)
    assert longitude.shape == latitude.shape == (90, 110)
    assert np.max(metres) < 0.003
    part = pixel_lonlat(grid, Window(340, 1210, 5, 5))
    assert (part[0] == longitude[7:12, 3:8]).all()
    assert (part[1] == latitude[7:12, 3:8]).all()


def test_a_grid_without_a_crs_has_no_coordinates() -> None:
    with pytest.raises(ValueError, match="coordinate reference system"):
        pixel_lonlat(GeoBox((5, 5), Affine.identity(), None), Window(0, 0, 5, 5))


@pytest.mark.parametrize("place", [(15.0, 45.0), (179.99, -60.0), (0.0, 0.0)])
def test_everything_within_the_distance_is_in_the_buffer_and_little_else(place: tuple[float, float]) -> None:
    square = shapely.box(place[0] - 0.005, place[1] - 0.005, place[0] + 0.005, place[1] + 0.005)
    grown = buffer_metres(square, 1000)
    geod = pyproj.Geod(ellps="WGS84")
    for corner in shapely.get_coordinates(square.exterior):
        for azimuth in range(0, 360, 15):
            longitude, latitude, _ = geod.fwd(*corner, azimuth, 999.5)
            assert grown.intersects(shapely.Point(longitude, latitude).buffer(1e-9))
    north = place[1] + 0.005
    far = geod.fwd(place[0] - 0.005, north, 0, 1030)
    assert not grown.intersects(shapely.Point(far[0], far[1]))
    assert buffer_metres(square, 0) is square
