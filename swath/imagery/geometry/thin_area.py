"""Areas smaller than the pixels: whether an area holds the centre of any pixel, and the pixels that it touches if it does not."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from swath.geo import Window
from swath.imagery.geometry.footprint import area_pixels

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.area import Area

_EDGE = 2048
"""Edge in pixels of the windows in which centres are looked for."""
_OVERLAP = 1e-9
"""An area touches a pixel when it covers more than this part of it: a shared side is no touch."""
_MOST_PARTS = 10_000
"""Polygons of an area that are looked at one by one."""


def polygon_mask(polygon: BaseGeometry, window: Window, *, all_touched: bool = False) -> NDArray[np.bool_]:
    """True where a pixel's centre is inside of a polygon in (column, row), or where GDAL's lines touch it: bool (height, width)."""
    from rasterio.features import geometry_mask

    to_pixels = Affine.translation(window.col, window.row)
    mask: NDArray[np.bool_] = geometry_mask([polygon], window.shape, to_pixels, all_touched=all_touched, invert=True)
    return mask


@lru_cache(maxsize=64)
def holds_centre(area: Area, image: GeoBox) -> bool:
    """Whether the centre of a pixel of the image is inside of the area."""
    height, width = image.shape
    inside = area_pixels(area, image).intersection(box(0, 0, width, height))
    parts = [part for part in shapely.get_parts(inside).tolist() if part.geom_type == "Polygon" and part.area > 0]
    return any(_holds_centre(part) for part in sorted(parts, key=lambda part: -part.area))


def _holds_centre(polygon: shapely.Polygon) -> bool:
    left, top, right, bottom = polygon.bounds
    first_col, first_row = int(np.floor(left)), int(np.floor(top))
    stop_col, stop_row = int(np.ceil(right)), int(np.ceil(bottom))
    point = polygon.representative_point()  # of an area of many pixels the first window settles it
    near = Window(int(point.y) - _EDGE // 2, int(point.x) - _EDGE // 2, _EDGE, _EDGE)
    near_part = near.intersection(Window(first_row, first_col, stop_row - first_row, stop_col - first_col))
    if near_part is not None and polygon_mask(polygon, near_part).any():
        return True
    shapely.prepare(polygon)
    for row in range(first_row, stop_row, _EDGE):
        for col in range(first_col, stop_col, _EDGE):
            window = Window(row, col, min(_EDGE, stop_row - row), min(_EDGE, stop_col - col))
            if (
                polygon.intersects(box(col, row, window.stop_col, window.stop_row))
                and polygon_mask(polygon, window).any()
            ):
                return True
    return False


def touched_mask(pixels: BaseGeometry, window: Window) -> NDArray[np.bool_]:
    """True where a polygon in (column, row) covers a part of a pixel: bool (height, width)."""
    mask = polygon_mask(pixels, window, all_touched=True)
    rows, cols = np.nonzero(mask)
    x, y = cols + window.col, rows + window.row
    covered = shapely.area(shapely.intersection(pixels, shapely.box(x, y, x + 1, y + 1)))
    mask[rows, cols] = covered > _OVERLAP
    return mask


@lru_cache(maxsize=64)
def thin_area_note(area: Area, image: GeoBox) -> str | None:
    """What to say of an area, or of some of its polygons, that hold no pixel's centre; None when there is nothing to say."""
    if image.crs is None:
        return None
    height, width = image.shape
    parts = shapely.get_parts(area_pixels(area, image).intersection(box(0, 0, width, height)))
    parts = parts[shapely.area(parts) > 0]
    if not len(parts):
        return None
    size = f"{abs(image.resolution.x):g} in {image.crs}"
    if not holds_centre(area, image):
        name = f"the area{f' ({area.source})' if area.source else ''}"
        return f"{name} holds no centre of a pixel of {size}: the pixels that it touches are used"
    small = parts[shapely.area(parts) < 16]
    if len(small) > _MOST_PARTS:
        return None
    lost = sum(not _holds_centre(part) for part in small)
    if not lost:
        return None
    return f"{lost:,} of {len(parts):,} polygons of the area hold no centre of a pixel of {size}, and have no pixel"
