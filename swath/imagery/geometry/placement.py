"""Placement: the window of the image grid in which a band's pixels lie, and whether the two grids share their pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from swath.geo import Window
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.image_grid import crs_pixel_area, grid_key, pixel_offset

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


def band_window(band: GeoBox, image: GeoBox) -> Window:
    """Where a band can have pixels, in pixels of the image grid; of a band that is warped, some pixels more on each side."""
    return placement(band, image)[0]


def placement(band: GeoBox, image: GeoBox) -> tuple[Window, bool]:
    """(window, native): as band_window; `native` where the grids share their pixels, and the window is exact."""
    return _placement(_Grid(band), _Grid(image))


class _Grid:
    """A GeoBox as a key of a cache. GeoBox itself writes its CRS as WKT for every hash, which takes a quarter of a millisecond."""

    def __init__(self, box: GeoBox) -> None:
        self.box, self.key = box, grid_key(box)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Grid) and self.key == other.key


@lru_cache(maxsize=8192)
def _placement(grid: _Grid, onto: _Grid) -> tuple[Window, bool]:
    band, image = grid.box, onto.box
    origin = pixel_offset(band, image)
    if origin is not None:
        return Window(*origin, *band.shape), True
    left, top, right, bottom = extent_pixels(band, image)
    # Interpolation reaches beyond the edge by some source pixels, which may be larger than the image's.
    margin = 2 + int(4 * (crs_pixel_area(band) / crs_pixel_area(image)) ** 0.5 if band.crs == image.crs else 8)
    row, col = int(top) - margin, int(left) - margin
    return Window(row, col, int(bottom) + margin - row, int(right) + margin - col), False
