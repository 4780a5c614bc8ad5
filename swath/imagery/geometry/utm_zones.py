"""One grid for each UTM zone: which scenes are read on it, and which of its pixels belong to the zone.

Each place belongs to one zone: of those that the imagery lies in, the one whose central meridian is nearest. Between neighbouring
zones these are the strips of six degrees; what a scene covers beyond the outermost strips stays with its own zone. Where imagery
lies in the northern and the southern zone of one number, the equator divides them.

Pixels of two grids do not fit along their line. The line belongs to the zone in the east, or in the north: it has the pixels whose
centre is on its side. The other zone has every pixel whose footprint these do not cover whole. So no place is in no sheet, and what is
in two sheets lies within a pixel of the line.
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
from swath.imagery.scene import Scene, Scenes, file_of

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
        sheets.append(sheet)
    grids = dict(zip(zones, (sheet.image for sheet in sheets), strict=True))
    sheets = [
        replace(sheet, yields_to=tuple(grids[other] for other in zones if _yields(zone, other, zones)))
        for zone, sheet in zip(zones, sheets, strict=True)
    ]
    return tuple(sheet for sheet in sheets if owned_window(sheet) is not None)


def owned_mask(scenes: Scenes, window: Window) -> NDArray[np.bool_]:
    """True where a pixel belongs to the zone of this grid: bool (height, width) of `window`; all True with one zone."""
    if len(scenes.zones) < 2:
        return np.ones(window.shape, bool)
    affine = scenes.image.affine
    if affine.b or affine.d or affine.a < 0:
        rows, cols = np.indices(window.shape)
        return np.equal(_side(scenes)(window.row + rows, window.col + cols), 0)
    first, stop = _owned_columns(scenes, window)
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
    first, stop = _owned_columns(scenes, whole)
    rows = np.flatnonzero(stop > first)
    if not len(rows):
        return None
    left, right = int(first[rows].min()), int(stop[rows].max())
    return Window(int(rows[0]), left, int(rows[-1] - rows[0]) + 1, right - left)


def _yields(zone: str, other: str, zones: tuple[str, ...]) -> bool:
    """Whether the line between two neighbouring zones belongs to `other`: to the one in the east, or in the north."""
    number, beside = int(zone[:-1]), int(other[:-1])
    if number == beside:
        return zone[-1] == "S" and other[-1] == "N"
    numbers = _numbers(zones)
    following = numbers[(numbers.index(number) + 1) % len(numbers)]
    return beside == following and (beside - number) % 60 < 30


def _owned_columns(scenes: Scenes, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As `_columns`, with the pixels along the line of a neighbour that this zone has as well, or leaves to it."""
    first, stop = _columns(scenes, window)
    if not scenes.yields_to:
        return first, stop
    own = abs(scenes.image.affine.a)
    reach = 1 + max(int(np.ceil(abs(grid.affine.a) / own)) for grid in scenes.yields_to)
    rows = np.arange(window.row, window.stop_row)
    # Along an eastern line: some columns on both sides of the end of each row.
    cols = stop[:, None] + np.arange(-reach, reach)
    inside = (cols >= np.minimum(first, stop)[:, None]) & (cols >= window.col) & (cols < window.stop_col)
    at_row, at_col = np.nonzero(inside)
    near = _side(scenes)(rows[at_row], cols[at_row, at_col] - reach) <= 0  # else the line is far in the west
    at_row, at_col = at_row[near], at_col[near]
    kept = _uncovered(scenes, rows[at_row], cols[at_row, at_col])
    mask = np.zeros(inside.shape, bool)
    mask[at_row, at_col] = kept
    last = np.where(mask, cols + 1, 0).max(axis=1)
    left = np.where(mask, cols, np.iinfo(np.int64).max).min(axis=1)
    inner = stop - reach > first  # the zone has pixels before those that were looked at
    new_stop = np.where(mask.any(axis=1), last, np.where(inner, stop - reach, first))
    new_first = np.where(inner | ~mask.any(axis=1), first, np.minimum(np.maximum(first, left), new_stop))
    return _along_equator(scenes, window, reach, new_first, new_stop)


def _along_equator(
    scenes: Scenes, window: Window, reach: int, first: NDArray[np.int64], stop: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same, with the rows along the equator, where the other hemisphere's grid has the line."""
    zone = utm_zone(scenes.image.crs) or ""
    if zone[-1:] != "S" or f"{zone[:-1]}N" not in scenes.zones:
        return first, stop
    line = (10_000_000 - scenes.image.affine.f) / scenes.image.affine.e
    south_of_it = Window(int(line) + reach + 1, window.col, 1, window.width)
    (left,), (right,) = _columns(scenes, south_of_it)
    for row in range(max(window.row, int(line) - reach), min(window.stop_row, int(line) + reach + 1)):
        cols = np.arange(left, min(right + reach, window.stop_col) if right > left else left)
        kept = np.flatnonzero(_uncovered(scenes, np.full(len(cols), row), cols))
        at = row - window.row
        first[at], stop[at] = (cols[kept[0]], cols[kept[-1]] + 1) if len(kept) else (window.col, window.col)
    return first, stop


_INSET = 1e-3
"""Points of a pixel's footprint keep so far from its sides, in pixels: grids that share their sides do not share pixels."""


def _uncovered(scenes: Scenes, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a part of each pixel's footprint is in the zone or in one to which it yields, and in no pixel that those have."""
    affine = scenes.image.affine
    own = utm_zone(scenes.image.crs) or ""
    ratio = max(abs(affine.a / grid.affine.a) for grid in scenes.yields_to)
    places = np.linspace(_INSET, 1 - _INSET, min(33, 2 * int(np.ceil(ratio)) + 1))
    mine = {own, *(utm_zone(grid.crs) or "" for grid in scenes.yields_to)}
    to_degrees = transformer(str(scenes.image.crs), "EPSG:4326")
    found = np.zeros(len(rows), bool)
    for down in places:
        for along in places:
            x = affine.a * (cols + along) + affine.c
            y = affine.e * (rows + down) + affine.f
            lon, lat = (np.round(degrees, _DIGITS) for degrees in to_degrees.transform(x, y))
            open_here = ~found & np.isin(_zone_at(lon, lat, scenes.zones), sorted(mine))
            for grid in scenes.yields_to:
                open_here[open_here] &= ~_covered(replace(scenes, image=grid), lon[open_here], lat[open_here])
            found |= open_here
    return found


def _zone_at(lon: NDArray[np.float64], lat: NDArray[np.float64], zones: tuple[str, ...]) -> NDArray[np.str_]:
    """The zone to which each place belongs."""
    numbers = _numbers(zones)
    found = _number_at(lon, numbers, _edges(numbers))
    names = np.empty(len(lon), "U3")
    for number in numbers:
        here = found == number
        north, south = f"{number}N", f"{number}S"
        names[here] = np.where(lat[here] >= 0, north if north in zones else south, south if south in zones else north)
    return names


def _covered(scenes: Scenes, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each place lies in a pixel of this grid whose centre belongs to the grid's zone."""
    x, y = transformer("EPSG:4326", str(scenes.image.crs)).transform(lon, lat)
    inverse = ~scenes.image.affine
    cols = np.floor(inverse.a * x + inverse.b * y + inverse.c).astype(np.int64)
    rows = np.floor(inverse.d * x + inverse.e * y + inverse.f).astype(np.int64)
    height, width = scenes.image.shape
    inside = (rows >= 0) & (cols >= 0) & (rows < height) & (cols < width)
    found = np.zeros(len(inside), bool)
    found[inside] = np.equal(_side(scenes)(rows[inside], cols[inside]), 0)
    return found


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
            f"grid.zones: {file_of(scene)} is in {crs or 'no coordinate reference system'}, not in a UTM zone",
            remedy="Leave grid.zones out: the map then has one grid, that of the first scene or of grid.crs.",
        )
    return zone
