"""compare_region: one region of a change map, encoded, with the area of each transition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.change.states import StatePair, read_state
from swath.change.transitions import NODATA
from swath.geo import Region, Window
from swath.graph.call_context import progress
from swath.imagery.geometry.pixel_area import PixelArea
from swath.imagery.labels.unknown_values import ValueCounts, merge_counts
from swath.maps.cog.encoded_part import PartBuilder
from swath.maps.layout import MapLayout
from swath.maps.region_result import RegionResult
from swath.spec.fields.labels import IGNORE_INDEX

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_UNITS = 1 << 16
"""Areas are counted in this fraction of the middle pixel's area: integers add up to the same in any order."""
_ROWS = 256
"""Rows that are compared at once, at least."""


@dataclass(frozen=True)
class RegionComparison(RegionResult):
    """The result of one call: a part of the change map, and the area of each transition."""

    areas: tuple[tuple[int, int], ...] = ()
    """(value of the transition, area in units of `unit_m2`); empty without a CRS."""
    unknown: tuple[ValueCounts, ValueCounts] = ((), ())
    """Of the first state and of the second: pixels whose value is no class."""


def compare_region(region: Region, pair: StatePair, layout: MapLayout) -> RegionComparison:
    """One region of the change map. Raises what reading raises."""
    window, count = region.block.window, len(pair.classes)
    builder = PartBuilder(region.block.index, window, layout.encoding, layout.levels[region.sheet])
    pixel_area, totals = pixel_area_of(pair.scenes.image), np.zeros(256, np.int64)
    height = max(layout.encoding.blocksize, _ROWS)
    unknown: tuple[ValueCounts, ValueCounts] = ((), ())
    for row in range(window.row, window.stop_row, height):
        strip = Window(row, window.col, min(height, window.stop_row - row), window.width)
        (before, unknown_before), (after, unknown_after) = (
            read_state(each, strip) for each in (pair.before, pair.after)
        )
        unknown = (merge_counts([unknown[0], unknown_before]), merge_counts([unknown[1], unknown_after]))
        values = np.full(strip.shape, NODATA, np.uint8)
        known = (before != IGNORE_INDEX) & (after != IGNORE_INDEX)
        values[known] = before[known] * np.uint8(count) + after[known]
        if pixel_area is not None:
            totals += _areas(values, pixel_area, strip)
        builder.add(values[None])
        progress(pixels=values.size)
    areas = tuple((int(value), int(totals[value])) for value in np.flatnonzero(totals) if value != NODATA)
    return RegionComparison(region.sheet, builder.part(), None, areas, unknown)


@lru_cache(maxsize=4)
def pixel_area_of(image: GeoBox) -> PixelArea | None:
    """Areas of a grid's pixels; None without a CRS."""
    return PixelArea.of(image)


def unit_m2(pixel_area: PixelArea) -> float:
    """Square metres of a unit of `RegionComparison.areas`."""
    return pixel_area.width_m * pixel_area.height_m / _UNITS


def _areas(values: NDArray[np.uint8], pixel_area: PixelArea, window: Window) -> NDArray[np.int64]:
    """Area of each value in a window of the grid, in units (256,)."""
    rows = np.arange(window.row, window.stop_row)[:, None] + 0.5
    columns = np.arange(window.col, window.stop_col)[None, :] + 0.5
    areas = pixel_area.area_m2(*np.broadcast_arrays(rows, columns))
    units = np.nan_to_num(np.rint(areas / unit_m2(pixel_area)))
    return np.bincount(values.ravel(), weights=units.ravel(), minlength=256).astype(np.int64)
