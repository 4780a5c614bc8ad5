"""Longitude and latitude of pixels on any grid, and buffers in metres around polygons of degrees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo import Window
from swath.imagery.geometry.footprint import to_degrees, transformer

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

Floats = NDArray[np.float64]

_STEP_M = 320.0
"""Distance of the nodes at which coordinates are computed; between them they are interpolated, with an error of about 2 mm (this
squared over eight radii of the Earth)."""
_STEEPEST = 80.0
"""Latitude in degrees beyond which meridians converge too fast for interpolation."""
_RADIUS_M = 6371008.8
_DEGREE_M = 111_320.0
_ELLIPSOID = 1.004
"""Largest ratio of a degree on the ellipsoid to one on the sphere."""


def pixel_lonlat(image: GeoBox, window: Window) -> tuple[Floats, Floats]:
    """Longitude and latitude of each pixel's centre, float64 (height, width) each; NaN outside of the CRS's domain.

    Nodes are counted from the image's corner, so the coordinates do not depend on the window. Raises ValueError without a CRS.
    """
    if image.crs is None:
        raise ValueError("an image without a coordinate reference system lies nowhere")
    pixel = math.sqrt(abs(image.affine.determinant)) * (_DEGREE_M if image.crs.geographic else 1.0)
    step = max(1, int(_STEP_M / pixel))
    if step > 1:
        first_row, first_col = window.row // step, window.col // step
        rows = np.arange(first_row, window.stop_row // step + 2) * step + 0.5
        cols = np.arange(first_col, window.stop_col // step + 2) * step + 0.5
        longitude, latitude = _transform(image, rows, cols)
        if np.isfinite(longitude).all() and np.abs(latitude).max() < _STEEPEST:
            longitude = longitude[0, 0] + (longitude - longitude[0, 0] + 180.0) % 360.0 - 180.0
            down = (np.arange(window.row, window.stop_row) / step) - first_row
            along = (np.arange(window.col, window.stop_col) / step) - first_col
            return _interpolate(longitude, down, along), _interpolate(latitude, down, along)
    return _transform(image, np.arange(window.row, window.stop_row) + 0.5, np.arange(window.col, window.stop_col) + 0.5)


def buffer_metres(polygons: Any, metres: float) -> Any:
    """Polygons in degrees, buffered by `metres`; in degrees and split at the antimeridian."""
    if not metres:
        return polygons
    return shapely.union_all([_buffer(part, metres) for part in shapely.get_parts(polygons)])


def _buffer(part: Any, metres: float) -> Any:
    """Buffered in an equidistant projection around the polygon's centroid. It stretches other distances by up to `stretch`, so
    the buffer is that much wider: everything within `metres` on the ground is inside."""
    middle = part.centroid
    crs = f"+proj=aeqd +lon_0={middle.x} +lat_0={middle.y} +datum=WGS84"
    to_plane = transformer("EPSG:4326", crs)
    longest = max(part.bounds[2] - part.bounds[0], part.bounds[3] - part.bounds[1])
    dense = shapely.segmentize(part, max(longest / 256, 1e-9))
    flat = shapely.transform(dense, lambda points: np.column_stack(to_plane.transform(points[:, 0], points[:, 1])))
    reach = min(np.abs(shapely.get_coordinates(flat)).max() * math.sqrt(2) + metres, 0.9 * math.pi * _RADIUS_M)
    stretch = reach / _RADIUS_M / math.sin(reach / _RADIUS_M) * _ELLIPSOID
    # A circle becomes 16 straight segments a quarter, which are up to 0.5 % closer to its centre.
    return to_degrees(flat.buffer(metres * stretch * 1.005, quad_segs=16), crs)


def _transform(image: GeoBox, rows: NDArray[Any], cols: NDArray[Any]) -> tuple[Floats, Floats]:
    """Longitude and latitude at each combination of `rows` and `cols`, in pixels of the image; shape (rows, columns)."""
    at = image.affine
    col, row = np.meshgrid(cols, rows)
    x, y = at.a * col + at.b * row + at.c, at.d * col + at.e * row + at.f
    longitude, latitude = transformer(str(image.crs), "EPSG:4326").transform(x, y)
    finite = np.isfinite(longitude) & np.isfinite(latitude)
    return np.where(finite, longitude, np.nan), np.where(finite, latitude, np.nan)


def _interpolate(nodes: Floats, down: Floats, along: Floats) -> Floats:
    """Bilinear interpolation, at positions counted in nodes."""
    row, col = down.astype(np.intp), along.astype(np.intp)
    part, share = (down - row)[:, None], (along - col)[None, :]
    upper, lower = nodes[row], nodes[row + 1]
    first = upper[:, col] * (1 - share) + upper[:, col + 1] * share
    second = lower[:, col] * (1 - share) + lower[:, col + 1] * share
    result: Floats = first * (1 - part) + second * part
    return result
