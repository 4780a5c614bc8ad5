"""The image grid of a map, and the windows, masks and blocks that an area selects on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from swath.errors import AreaError, ImageryError
from swath.geo import Blocks, Window
from swath.imagery.geometry.footprint import area_footprint, area_pixels, extent_pixels, grid_footprint, resolution_in
from swath.imagery.geometry.thin_area import holds_centre, polygon_mask, touched_mask
from swath.imagery.scene import Scene, file_of

if TYPE_CHECKING:
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec

_MOST_TIMES_FINER = 1000
"""A requested pixel may be so many times smaller than the imagery's; beyond that its unit is wrong."""
PIXEL_TOLERANCE = 0.01
"""Two grids share their pixels when they differ by less than this part of a pixel."""


def image_grid(scenes: Sequence[Scene], grid: GridSpec | None = None) -> GeoBox:
    """The grid of the whole image: that of the first scene's finest band, extended by whole pixels to cover every scene.

    `grid` sets another CRS or resolution; its pixels then lie on multiples of the resolution. The grid depends on the
    scenes only, not on the area, so a pixel's value does not depend on what else is mapped. Raises ImageryError when a
    scene cannot be transformed to it.
    """
    base = min((band.geobox for band in scenes[0].bands), key=crs_pixel_area)
    if grid is not None and (grid.crs is not None or grid.resolution is not None):
        base = _requested_grid(base, grid)
    unique = {band.geobox: (scene, band) for scene in scenes for band in scene.bands}
    extents = []
    for geobox, of in unique.items():
        if (geobox.crs is None) != (base.crs is None):
            raise ImageryError(f"{file_of(*of)}: some images have a coordinate reference system and some have none")
        extent = extent_pixels(geobox, base)
        if not np.isfinite(extent).all():
            raise ImageryError(
                f"{file_of(*of)}: cannot be placed on a grid in {base.crs or 'pixels: its positions are no finite numbers'}",
                remedy="Set grid.crs to one that covers all, or correct the image's transform.",
            )
        if _is_torn(geobox, base, extent):
            raise ImageryError(
                f"{file_of(*of)}: crosses the antimeridian, where {base.crs} is not continuous",
                remedy="Set grid.crs to one that is continuous there, such as the scene's own UTM zone.",
            )
        extents.append(extent)
    left, top, right, bottom = np.array(extents).T
    if grid is not None and grid.resolution is not None:
        _check_resolution(
            base, grid.resolution, float(right.max() - left.min()), float(bottom.max() - top.min()), scenes
        )
    col, row = math.floor(left.min() + PIXEL_TOLERANCE), math.floor(top.min() + PIXEL_TOLERANCE)
    stop_col, stop_row = math.ceil(right.max() - PIXEL_TOLERANCE), math.ceil(bottom.max() - PIXEL_TOLERANCE)
    # A grid that is not extended keeps the file's own transform, to the last bit.
    affine = base.affine if (row, col) == (0, 0) else base.affine @ Affine.translation(col, row)
    return GeoBox((max(stop_row - row, 1), max(stop_col - col, 1)), affine, base.crs)


def _is_torn(band: GeoBox, image: GeoBox, extent: tuple[float, float, float, float]) -> bool:
    """Whether a projected grid that crosses the antimeridian would span the Earth on a geographic one."""
    if image.crs is None or band.crs == image.crs or not image.crs.geographic:
        return False
    return (extent[2] - extent[0]) * abs(image.affine.a) > 180


def _requested_grid(base: GeoBox, grid: GridSpec) -> GeoBox:
    from odc.geo.crs import CRS

    if base.crs is None:
        raise ImageryError(
            "grid: the imagery has no coordinate reference system", remedy="Leave grid out, or georeference the files."
        )
    try:
        crs = CRS(grid.crs) if grid.crs is not None else base.crs
    except Exception as error:  # the errors of pyproj and odc have no common base
        raise ImageryError(
            f"grid.crs: {grid.crs!r} is not a coordinate reference system", remedy="Write it as EPSG:32633."
        ) from error
    step = grid.resolution
    if step is None:
        step = resolution_in(base, str(crs)) if crs != base.crs else abs(base.resolution.x)
    return GeoBox((1, 1), Affine(step, 0, 0, 0, -step, 0), crs)


def _check_resolution(base: GeoBox, step: float, width: float, height: float, scenes: Sequence[Scene]) -> None:
    """Raise ImageryError for a resolution in the wrong unit. `width` and `height` are those of all scenes, in pixels of `base`."""
    crs = str(base.crs)
    unit = "degrees" if base.crs is not None and base.crs.geographic else "the unit of the CRS, mostly metres"
    finest = min((band.geobox for band in scenes[0].bands), key=crs_pixel_area)
    own = resolution_in(finest, crs) if finest.crs != base.crs else crs_pixel_area(finest) ** 0.5
    if max(width, height) >= 1 and own / step <= _MOST_TIMES_FINER:
        return
    what = (
        f"is larger than all of the imagery, which is {width * step:.6g} wide and {height * step:.6g} high"
        if max(width, height) < 1
        else f"is {own / step:,.0f} times finer than the imagery's"
    )
    raise ImageryError(
        f"grid.resolution: a pixel of {step:g} in {crs} {what}",
        remedy=f"Give it in {unit}: the imagery's own pixels are {own:.6g} in {crs}.",
    )


def crs_pixel_area(geobox: GeoBox) -> float:
    """Area of one pixel in squared units of the grid's CRS."""
    return abs(float(geobox.affine.determinant))


def grid_key(geobox: GeoBox) -> tuple[Any, ...]:
    """A key for a grid that is cheap to compare and to hash."""
    return (str(geobox.crs), *geobox.affine[:6], *geobox.shape)


def pixel_offset(band: GeoBox, image: GeoBox) -> tuple[int, int] | None:
    """(row, col) of the band's first pixel on the image grid when the two grids share their pixels, else None."""
    if band.crs != image.crs:
        return None
    height, width = band.shape
    to_image = ~image.affine @ band.affine
    col, row = to_image @ (0, 0)
    row_int, col_int = round(row), round(col)
    for x, y in ((0, 0), (width, 0), (0, height), (width, height)):
        at_col, at_row = to_image @ (x, y)
        if abs(at_col - x - col_int) > PIXEL_TOLERANCE or abs(at_row - y - row_int) > PIXEL_TOLERANCE:
            return None
    return row_int, col_int


def output_window(image: GeoBox, area: Area | None) -> Window:
    """The area's bounds on the image grid, rounded outward to whole pixels and clipped to the image; without an area, the whole image.

    Raises AreaError, with both extents in degrees, when the area does not intersect the image; ImageryError when the image has no
    coordinate reference system.
    """
    height, width = image.shape
    if area is None:
        return Window(0, 0, height, width)
    _need_crs(image)
    inside = area_pixels(area, image).intersection(box(0, 0, width, height))
    if inside.is_empty or inside.area == 0:
        where = f"the area{f' ({area.source})' if area.source else ''} lies at {_extent(area_footprint(area))}"
        raise AreaError(
            f"{where}, the imagery at {_extent(grid_footprint(image))}: they do not intersect",
            remedy="Swapped? With latitude and longitude exchanged the area would lie on the imagery; longitude comes first."
            if _swapped(area).intersects(grid_footprint(image))
            else "Check the order of coordinates (west, south, east, north) and the area's CRS.",
        )
    left, top, right, bottom = inside.bounds
    tiny = 1e-6  # rounding errors of projected corners must not add a row of pixels
    row, col = max(0, math.floor(top + tiny)), max(0, math.floor(left + tiny))
    stop_row, stop_col = min(height, math.ceil(bottom - tiny)), min(width, math.ceil(right - tiny))
    return Window(row, col, max(stop_row - row, 1), max(stop_col - col, 1))


def _swapped(area: Area) -> BaseGeometry:
    """The area in degrees with longitude and latitude exchanged."""
    return shapely.transform(area_footprint(area), lambda points: points[:, ::-1])


def area_mask(area: Area, image: GeoBox, window: Window | None = None) -> NDArray[np.bool_]:
    """True where a pixel's centre is inside of the area: bool (height, width) of `window`, or of the whole image. Of an area that holds
    no centre of any pixel of the image: True where a pixel touches it.

    `image` is the grid of the whole image, not of the window, so that masks of neighbouring windows fit exactly.
    """
    window = window or output_window(image, None)
    pixels = area_pixels(area, image)
    if pixels.is_empty:
        return np.zeros(window.shape, dtype=bool)
    mask = polygon_mask(pixels, window)
    return mask if mask.any() or holds_centre(area, image) else touched_mask(pixels, window)


def select_blocks(blocks: Blocks, area: Area | None) -> Blocks:
    """The blocks with `wanted` set to those that the area intersects; unchanged without an area."""
    if area is None:
        return blocks
    _need_crs(blocks.image)
    pixels = area_pixels(area, blocks.image)
    shapely.prepare(pixels)
    rows, columns = blocks.lattice
    out, size = blocks.output, blocks.size
    left = out.col + size * np.arange(columns)
    right = np.minimum(left + size, out.stop_col)
    wanted: list[NDArray[np.int64]] = []
    at_once = max(1, 100_000 // columns)
    for first in range(0, rows, at_once):
        top = out.row + size * np.arange(first, min(first + at_once, rows))
        bottom = np.minimum(top + size, out.stop_row)
        boxes = shapely.box(left[None, :], top[:, None], right[None, :], bottom[:, None])
        # A block that shares only an edge with the area is selected too, and comes out empty.
        wanted.append(np.flatnonzero(shapely.intersects(pixels, boxes)) + first * columns)
    found = np.concatenate(wanted)
    return blocks if len(found) == rows * columns else replace(blocks, wanted=tuple(found.tolist()))


def _need_crs(image: GeoBox) -> None:
    if image.crs is None:
        raise ImageryError(
            "the imagery has no coordinate reference system, so no area can be found on it",
            remedy="Leave the area out to map the whole image, or georeference the files with gdal_translate or rio.",
        )


def _extent(degrees: BaseGeometry) -> str:
    if degrees.is_empty:
        return "no place on Earth"
    west, south, east, north = degrees.bounds
    if west <= -180 + 1e-9 and east >= 180 - 1e-9:
        # Split at the antimeridian: its true west edge is the smallest positive longitude.
        parts = [part.bounds for part in shapely.get_parts(degrees)]
        eastern, western = [b for b in parts if b[0] >= 0], [b for b in parts if b[2] <= 0]
        if eastern and western and len(eastern) + len(western) == len(parts):
            west, east = min(b[0] for b in eastern), max(b[2] for b in western)
    return f"[{west:.4f}, {south:.4f}, {east:.4f}, {north:.4f}] degrees (west, south, east, north)"
