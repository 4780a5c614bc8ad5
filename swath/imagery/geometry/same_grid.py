"""Whether two descriptions of a grid are of the same pixels, however their coordinate reference systems are spelled."""

from __future__ import annotations

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from pyproj.exceptions import ProjError

from swath.imagery.geometry.image_grid import PIXEL_TOLERANCE


def same_grid(one: GeoBox, other: GeoBox) -> bool:
    """Whether two grids have the same shape, and their corners the same place, within PIXEL_TOLERANCE of a pixel."""
    if tuple(one.shape) != tuple(other.shape) or one.crs is None or other.crs is None:
        return False
    height, width = one.shape
    pixels = [(0, 0), (width, 0), (0, height), (width, height)]
    corners = [one.affine @ pixel for pixel in pixels]
    if one.crs != other.crs:
        try:
            transformer = Transformer.from_crs(one.crs.to_wkt(), other.crs.to_wkt(), always_xy=True)
        except ProjError:
            return False
        corners = [transformer.transform(x, y) for x, y in corners]
        if not np.isfinite(corners).all():
            return False
    there = [~other.affine @ corner for corner in corners]
    tolerance = PIXEL_TOLERANCE if one.crs == other.crs else 5 * PIXEL_TOLERANCE
    return bool(np.abs(np.array(there) - pixels).max() <= tolerance)
