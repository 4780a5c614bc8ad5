"""Scenes for the tests of reads: of files and of the STAC catalogue of the shared data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from swath.geo import Blocks, Window
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, StacImagery


def files(*paths: Path | str, grid: GridSpec | None = None, bands: Any = None, **spec: Any) -> Scenes:
    return find(FilesImagery(paths=tuple(map(str, paths)), **spec), bands, None, grid)


def stac(shared: Path, *ids: str, bands: tuple[str, ...], grid: GridSpec | None = None, **spec: Any) -> Scenes:
    imagery = StacImagery(catalog=str(shared / "data/stac/catalog.json"), ids=ids, bands=bands, **spec)
    return find(imagery, None, None, grid)


def whole(scenes: Scenes) -> Window:
    return output_window(scenes.image, None)


def in_tiles(scenes: Scenes, size: int, **options: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    parts = [
        (b.window, *read_mosaic(scenes, b.window, **options)) for b in Blocks(scenes.image, whole(scenes), size, 0, 1)
    ]
    pixels = np.zeros((len(scenes.bands), *scenes.image.shape), parts[0][1].dtype)
    valid = np.zeros(scenes.image.shape, bool)
    for window, some, good in parts:
        pixels[(slice(None), *window.roi)], valid[window.roi] = some, good
    return pixels, valid
