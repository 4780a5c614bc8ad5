"""Area and size of pixels on the WGS 84 ellipsoid, for any grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from swath.imagery.geometry.footprint import transformer

Floats = NDArray[np.float64]
_SPANS = 256
"""Areas are computed at this many nodes along each side, at most one a pixel, and interpolated between them: with a relative error
of 0.00003 for a map of the whole Earth."""
_ECC2 = 0.0066943799901413165
"""First eccentricity squared of WGS 84."""
_AXIS_M = 6378137.0
"""Semi-major axis of WGS 84."""


def _authalic(sine: Floats) -> Floats:
    """q of Snyder's "Map Projections", eq. 3-12: proportional to the area between the equator and a latitude."""
    e = np.sqrt(_ECC2)
    result: Floats = (1 - _ECC2) * (sine / (1 - _ECC2 * sine**2) - np.log((1 - e * sine) / (1 + e * sine)) / (2 * e))
    return result


_POLE = float(_authalic(np.array([1.0]))[0])
_RADIUS_M = _AXIS_M * np.sqrt(_POLE / 2)
"""Radius of the sphere that has the ellipsoid's area."""


@dataclass(frozen=True)
class PixelArea:
    """Areas of the pixels of one grid, in square metres.

    A pixel's area is that of the parallelogram that its middle lines span on the authalic sphere of WGS 84: an equal-area mapping
    without poles, seams or zones, so the same rule holds for degrees, metres, feet and rotated grids.
    """

    areas: Floats
    """Square metres of a pixel at the nodes: float64 (rows, columns)."""
    steps: tuple[int, int]
    """Pixels from node to node, (rows, columns)."""
    width_m: float
    """Metres along the row of the pixel in the middle of the grid."""
    height_m: float
    """Metres along the column of the same pixel."""

    @classmethod
    def of(cls, geobox: GeoBox) -> PixelArea | None:
        """Of a grid with a CRS; None without one. Areas outside of the CRS's domain are NaN."""
        if geobox.crs is None:
            return None
        height, width = geobox.shape
        to_degrees = transformer(geobox.crs.to_wkt(), "EPSG:4326")
        steps = (-(-height // _SPANS), -(-width // _SPANS))
        nodes = (
            np.arange(length // step + 2, dtype=np.float64) * step
            for length, step in zip((height, width), steps, strict=True)
        )
        rows, columns = np.meshgrid(*nodes, indexing="ij")
        right, down = _sides(geobox.affine, to_degrees, rows, columns)
        middle = _sides(geobox.affine, to_degrees, np.array([height / 2]), np.array([width / 2]))
        width_m, height_m = (float(np.linalg.norm(side)) for side in middle)
        return cls(np.linalg.norm(np.cross(right, down), axis=-1), steps, width_m, height_m)

    def area_m2(self, rows: NDArray[Any], columns: NDArray[Any]) -> Floats:
        """Area in square metres of a pixel around each point; (0.5, 0.5) is the middle of the first pixel."""
        row, down = _split(rows / self.steps[0], self.areas.shape[0])
        column, along = _split(columns / self.steps[1], self.areas.shape[1])
        upper = self.areas[row, column] * (1 - along) + self.areas[row, column + 1] * along
        lower = self.areas[row + 1, column] * (1 - along) + self.areas[row + 1, column + 1] * along
        result: Floats = upper * (1 - down) + lower * down
        return result


def _split(position: Floats, nodes: int) -> tuple[NDArray[np.intp], Floats]:
    """(index of the node before each position, fraction of the way to the next node)."""
    index = np.clip(position.astype(np.intp), 0, nodes - 2)
    return index, position - index


def _sides(affine: Any, to_degrees: Transformer, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
    """Vectors in metres on the sphere through the middle of each pixel: along its row, and along its column."""

    def point(row: Floats, column: Floats) -> Floats:
        x, y = affine.a * column + affine.b * row + affine.c, affine.d * column + affine.e * row + affine.f
        longitude, latitude = to_degrees.transform(x, y)
        longitude, latitude = (np.where(np.isfinite(each), each, np.nan) for each in (longitude, latitude))
        sine = np.clip(_authalic(np.sin(np.radians(latitude))) / _POLE, -1, 1)
        cosine = np.sqrt(1 - sine**2)
        longitude_rad = np.radians(longitude)
        on_sphere: Floats = _RADIUS_M * np.stack(
            [cosine * np.cos(longitude_rad), cosine * np.sin(longitude_rad), sine], axis=-1
        )
        return on_sphere

    right = point(rows, columns + 0.5) - point(rows, columns - 0.5)
    down = point(rows + 0.5, columns) - point(rows - 0.5, columns)
    return right, down
