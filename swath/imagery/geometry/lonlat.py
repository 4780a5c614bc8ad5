"""Where pixels are on the ground, and what is near a place: in metres, on any grid."""

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
"""Positions are computed at nodes so far apart, and interpolated between them: true to 2 mm, which is this squared over eight
radii of the Earth."""
_STEEPEST = 80.0
"""Degrees of latitude beyond which meridians run together too fast for that."""
_RADIUS_M = 6371008.8
_DEGREE_M = 111_320.0
_ELLIPSOID = 1.004
"""By how much the ellipsoid's degrees differ from the sphere's."""


def pixel_lonlat(image: GeoBox, window: Window) -> tuple[Floats, Floats]:
    """Longitude and latitude of each pixel's centre, float64 (height, width) each; NaN where the CRS has no such place.

    Nodes count from the image's corner, so a pixel's place does not depend on the window.
    """
    if image.crs is None:
        raise ValueError("an image without a coordinate reference system lies nowhere")
    pixel = math.sqrt(abs(image.affine.determinant)) * (_DEGREE_M if image.crs.geographic else 1.0)
    step = max(1, int(_STEP_M / pixel))
    if step > 1:
        first_row, first_col = window.row // step, window.col // step
        rows = np.arange(first_row, window.stop_row // step + 2) * step + 0.5
        cols = np.arange(first_col, window.stop_col // step + 2) * step + 0.5
        longitude, latitude = _exact(image, rows, cols)
        if np.isfinite(longitude).all() and np.abs(latitude).max() < _STEEPEST:
            longitude = longitude[0, 0] + (longitude - longitude[0, 0] + 180.0) % 360.0 - 180.0
            down = (np.arange(window.row, window.stop_row) / step) - first_row
            along = (np.arange(window.col, window.stop_col) / step) - first_col
            return _between(longitude, down, along), _between(latitude, down, along)
    return _exact(image, np.arange(window.row, window.stop_row) + 0.5, np.arange(window.col, window.stop_col) + 0.5)


def buffer_metres(ground: Any, metres: float) -> Any:
    """Polygons in degrees, and all that is less than `metres` from them, in degrees and split at the antimeridian."""
    if not metres:
        return ground
    return shapely.union_all([_grown(part, metres) for part in shapely.get_parts(ground)])


def _grown(part: Any, metres: float) -> Any:
    """On a map that keeps distances from the polygon's middle and stretches all others, by `stretch` at most: what is within
    the buffer on the ground is within `stretch` buffers on the map."""
    middle = part.centroid
    crs = f"+proj=aeqd +lon_0={middle.x} +lat_0={middle.y} +datum=WGS84"
    move = transformer("EPSG:4326", crs)
    longest = max(part.bounds[2] - part.bounds[0], part.bounds[3] - part.bounds[1])
    dense = shapely.segmentize(part, max(longest / 256, 1e-9))
    flat = shapely.transform(dense, lambda points: np.column_stack(move.transform(points[:, 0], points[:, 1])))
    reach = min(np.abs(shapely.get_coordinates(flat)).max() * math.sqrt(2) + metres, 0.9 * math.pi * _RADIUS_M)
    stretch = reach / _RADIUS_M / math.sin(reach / _RADIUS_M) * _ELLIPSOID
    # A circle is drawn with 16 straight pieces a quarter, which cut it by half a part in a hundred and less.
    return to_degrees(flat.buffer(metres * stretch * 1.005, quad_segs=16), crs)


def _exact(image: GeoBox, rows: NDArray[Any], cols: NDArray[Any]) -> tuple[Floats, Floats]:
    """At points (row, column) in pixels of the image, each combination; shape (rows, columns)."""
    at = image.affine
    col, row = np.meshgrid(cols, rows)
    x, y = at.a * col + at.b * row + at.c, at.d * col + at.e * row + at.f
    longitude, latitude = transformer(str(image.crs), "EPSG:4326").transform(x, y)
    known = np.isfinite(longitude) & np.isfinite(latitude)
    return np.where(known, longitude, np.nan), np.where(known, latitude, np.nan)


def _between(nodes: Floats, down: Floats, along: Floats) -> Floats:
    """Bilinear, at positions counted in nodes."""
    row, col = down.astype(np.intp), along.astype(np.intp)
    part, share = (down - row)[:, None], (along - col)[None, :]
    upper, lower = nodes[row], nodes[row + 1]
    first = upper[:, col] * (1 - share) + upper[:, col + 1] * share
    second = lower[:, col] * (1 - share) + lower[:, col + 1] * share
    result: Floats = first * (1 - part) + second * part
    return result
