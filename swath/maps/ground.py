"""Ground that a map covers, in square kilometres on the WGS 84 ellipsoid, from the grids and the windows of its regions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from swath.geo import Regions, Window
from swath.imagery.geometry.pixel_area import PixelArea

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.imagery.scene import Scenes


SAMPLES = 4096
"""Regions that are looked at; of more, these stand for all."""


def window_km2(image: GeoBox, window: Window) -> float:
    """Ground under a window of a grid, by the area of the pixel in its middle; 0 where that is not known."""
    row, col = window.row + window.height // 2, window.col + window.width // 2
    areas = PixelArea.of(image[row : row + 1, col : col + 1])
    pixel_m2 = float(areas.areas[0, 0]) if areas is not None else 0.0
    return window.height * window.width * pixel_m2 / 1e6 if math.isfinite(pixel_m2) else 0.0


def regions_km2(regions: Regions, grids: tuple[Scenes, ...]) -> float | None:
    """Ground under all regions of a map, pixels without data included; None without a CRS. `grids` are the scenes of each grid."""
    areas = {grid: PixelArea.of(grids[grid].image) for grid in set(regions.grids)}
    seen: dict[int, list[Window]] = {grid: [] for grid in areas}
    each = max(1, SAMPLES // len(regions.sheets))
    for number in range(0, len(regions.sheets), max(1, len(regions.sheets) // SAMPLES)):
        blocks = regions.sheets[number]
        seen[regions.grids[number]] += [blocks[n].window for n in range(0, len(blocks), max(1, len(blocks) // each))]
    total = 0.0
    for grid, pixel_area in areas.items():
        if pixel_area is None:
            return None
        middle = np.array([(w.row + w.height / 2, w.col + w.width / 2) for w in seen[grid]])
        pixels = np.array([w.height * w.width for w in seen[grid]], np.float64)
        if pixels.any():
            pixel_m2 = np.nansum(pixels * pixel_area.area_m2(middle[:, 0], middle[:, 1])) / pixels.sum()
            all_pixels = sum(b.pixels for b, of in zip(regions.sheets, regions.grids, strict=True) if of == grid)
            total += float(pixel_m2) * all_pixels / 1e6
    return total
