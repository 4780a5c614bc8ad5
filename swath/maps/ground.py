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


def window_km2(image: GeoBox, window: Window) -> float:
    """Ground under a window of a grid, by the area of the pixel in its middle; 0 where that is not known."""
    row, col = window.row + window.height // 2, window.col + window.width // 2
    areas = PixelArea.of(image[row : row + 1, col : col + 1])
    pixel_m2 = float(areas.areas[0, 0]) if areas is not None else 0.0
    return window.height * window.width * pixel_m2 / 1e6 if math.isfinite(pixel_m2) else 0.0


def regions_km2(regions: Regions, grids: tuple[Scenes, ...]) -> float | None:
    """Ground under all regions of a map, pixels without data included; None without a CRS. `grids` are the scenes of each grid."""
    total = 0.0
    for blocks, grid in zip(regions.sheets, regions.grids, strict=True):
        areas = PixelArea.of(grids[grid].image)
        if areas is None:
            return None
        windows = [block.window for block in blocks]
        middle = np.array([(each.row + each.height / 2, each.col + each.width / 2) for each in windows]).reshape(-1, 2)
        pixels = np.array([each.height * each.width for each in windows], np.float64)
        total += float(np.nansum(pixels * areas.area_m2(middle[:, 0], middle[:, 1]))) / 1e6
    return total
