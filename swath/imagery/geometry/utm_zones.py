"""One grid for each UTM zone: which scenes are read on it, and which of its pixels belong to the zone.

Each place belongs to one zone: of those that the imagery lies in, the one whose central meridian is nearest. Between neighbouring
zones these are the strips of six degrees; what a scene covers beyond the outermost strips stays with its own zone. Where imagery
lies in the northern and the southern zone of one number, the equator divides them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.footprint import grid_footprint, transformer
from swath.imagery.geometry.image_grid import crs_pixel_area, image_grid, output_window
from swath.imagery.scene import Scene, Scenes

if TYPE_CHECKING:
    from swath.spec.fields.grid import GridSpec

_DIGITS = 9
"""Degrees are compared to so many decimals (0.1 mm), more than the rounding errors of two projections."""


def utm_zone(crs: CRS | None) -> str | None:
    """The UTM zone of a CRS, such as 29N; None for another CRS."""
    return _zone(str(crs)) if crs is not None else None


@lru_cache(maxsize=256)
def _zone(crs: str) -> str | None:
    from pyproj import CRS as PyprojCRS

    zone: str | None = PyprojCRS.from_user_input(crs).utm_zone
    return zone


def split_zones(scenes: Scenes, grid: GridSpec | None = None) -> tuple[Scenes, ...]:
    """One `Scenes` for each UTM zone that the scenes lie in, sorted by zone; each with its own image grid, and all with the
    same `zones`. Zones without a pixel of their own are left out.

    Each has its zone's scenes, and after them, warped, those of other zones that extend into its strip, so that places that only
    a neighbouring zone's scene covers are mapped too. `grid.resolution` holds for all zones. Raises ImageryError when a scene is in
    no UTM zone.
    """
    by_zone: dict[str, list[Scene]] = {}
    for scene in scenes.scenes:
        by_zone.setdefault(_zone_of_scene(scene), []).append(scene)
    zones = tuple(sorted(by_zone, key=lambda zone: (int(zone[:-1]), zone[-1])))
    sheets = []
    for zone in zones:
        strip = _strip(zone, zones)
        others = [s for other in zones if other != zone for s in by_zone[other] if _reaches(s, strip)]
        image = image_grid([*by_zone[zone], *others], grid)
        ordered = (*others, *by_zone[zone]) if scenes.mosaic == "last" else (*by_zone[zone], *others)
        sheet = replace(scenes, scenes=ordered, image=image, zones=zones)
        if owned_window(sheet) is not None:
            sheets.append(sheet)
    return tuple(sheets)


def owned_mask(scenes: Scenes, window: Window) -> NDArray[np.bool_]:
    """True where a pixel's centre belongs to the zone of this grid: bool (height, width) of `window`; all True with one zone."""
    if len(scenes.zones) < 2:
        return np.ones(window.shape, bool)
    affine = scenes.image.affine
    if affine.b or affine.d or affine.a < 0:
        rows, cols = np.indices(window.shape)
        return np.equal(_side(scenes)(window.row + rows, window.col + cols), 0)
    first, stop = _columns(scenes, window)
    cols = np.arange(window.col, window.stop_col)
    return (cols >= first[:, None]) & (cols < stop[:, None])


def owned_window(scenes: Scenes) -> Window | None:
    """The smallest window of the image with all pixels of `owned_mask`; None when there are none."""
    whole = output_window(scenes.image, None)
    if len(scenes.zones) < 2:
        return whole
    affine = scenes.image.affine
    if affine.b or affine.d or affine.a < 0:
        return whole
    first, stop = _columns(scenes, whole)
    rows = np.flatnonzero(stop > first)
    if not len(rows):
        return None
    left, right = int(first[rows].min()), int(stop[rows].max())
    return Window(int(rows[0]), left, int(rows[-1] - rows[0]) + 1, right - left)


def _columns(scenes: Scenes, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row of `window` the first column that belongs to the zone, and the one after the last; equal when none does.

    Longitude increases along a row of a zone's grid, so each end is found by bisection.
    """
    side = _side(scenes)
    rows = np.arange(window.row, window.stop_row)

    def first_from(least: int) -> NDArray[np.int64]:
        low, high = np.full(len(rows), window.col), np.full(len(rows), window.stop_col)
        while (open_rows := low < high).any():
            middle = (low + high) // 2
            there = side(rows, middle) >= least
            high = np.where(open_rows & there, middle, high)
            low = np.where(open_rows & ~there, middle + 1, low)
        return low

    return first_from(0), first_from(1)


def _side(scenes: Scenes) -> Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]:
    """A function of rows and columns: 0 where the pixel belongs to the zone, -1 west of its strip, 1 east of it, 2 on the other side of
    the equator."""
    image, zone = scenes.image, utm_zone(scenes.image.crs) or ""
    affine = image.affine
    numbers = _numbers(scenes.zones)
    meridian, edges = _meridian(int(zone[:-1])), _edges(numbers)
    both = f"{zone[:-1]}N" in scenes.zones and f"{zone[:-1]}S" in scenes.zones
    to_degrees = transformer(str(image.crs), "EPSG:4326")

    def side(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
        x = affine.a * (cols + 0.5) + affine.b * (rows + 0.5) + affine.c
        y = affine.d * (cols + 0.5) + affine.e * (rows + 0.5) + affine.f
        lon, lat = (np.round(degrees, _DIGITS) for degrees in to_degrees.transform(x, y))
        east = np.where((lon - meridian + 180) % 360 < 180, -1, 1)
        found = np.where(_number_at(lon, numbers, edges) == int(zone[:-1]), 0, east)
        return np.where((lat >= 0) != (zone[-1] == "N"), 2, found) if both else found

    return side


def _numbers(zones: tuple[str, ...]) -> list[int]:
    return sorted({int(zone[:-1]) for zone in zones})


def _meridian(number: int) -> int:
    return 6 * number - 183


def _edges(numbers: list[int]) -> list[float]:
    """Longitudes half way from each zone to the next one in the east. The last is that between the last zone and the first, beyond
    180."""
    ends = [(_meridian(one) + _meridian(two)) / 2 for one, two in pairwise(numbers)]
    round_the_back = (_meridian(numbers[-1]) + _meridian(numbers[0]) + 360) / 2
    return [*ends, round_the_back]


def _number_at(lon: NDArray[np.float64], numbers: list[int], edges: list[float]) -> NDArray[np.int64]:
    """The zone number to which each longitude belongs: edges belong to the zone in the east."""
    back = edges[-1]
    turned = np.where(lon < back - 360, lon + 360, np.where(lon >= back, lon - 360, lon))
    place = np.searchsorted(edges[:-1], turned, side="right")
    return np.asarray(numbers)[place]


def _strip(zone: str, zones: tuple[str, ...]) -> shapely.Geometry:
    """The strip of a zone in degrees, split at the antimeridian."""
    numbers = _numbers(zones)
    place, edges = numbers.index(int(zone[:-1])), _edges(numbers)
    west, east = edges[place - 1] - (360 if place == 0 else 0), edges[place]
    both = {f"{zone[:-1]}N", f"{zone[:-1]}S"} <= set(zones)
    south, north = (0 if both and zone[-1] == "N" else -90), (0 if both and zone[-1] == "S" else 90)
    boxes = [shapely.box(west + turn, south, east + turn, north) for turn in (-360, 0, 360)]
    return shapely.union_all(boxes).intersection(shapely.box(-180, -90, 180, 90))


def _reaches(scene: Scene, strip: shapely.Geometry) -> bool:
    return bool(grid_footprint(_finest(scene)).intersection(strip).area > 0)


def _finest(scene: Scene) -> GeoBox:
    return min((band.geobox for band in scene.bands), key=crs_pixel_area)


def _zone_of_scene(scene: Scene) -> str:
    crs = _finest(scene).crs
    zone = utm_zone(crs)
    if zone is None:
        raise ImageryError(
            f"grid.zones: scene {scene.id} is in {crs or 'no coordinate reference system'}, not in a UTM zone",
            remedy="Leave grid.zones out: the map then has one grid, that of the first scene or of grid.crs.",
        )
    return zone
