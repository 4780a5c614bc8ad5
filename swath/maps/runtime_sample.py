"""A window of a map's own imagery, on which runtimes and precisions are compared before the map is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swath.geo import Regions, source_window
from swath.imagery.reading.mosaic import read_mosaic
from swath.models.runtime_choice import RuntimeSample

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes
    from swath.models.contract import ModelInfo

EDGE = 512
"""Edge of the window in pixels: enough for the time of a tile, and for one pixel in ten thousand."""
TRIED = 4
"""Windows that are read to find one without invalid pixels."""


def read_sample(
    regions: Regions, grids: tuple[Scenes, ...], model: ModelInfo, edge: int = EDGE, tried: int = TRIED
) -> RuntimeSample | None:
    """The one with the most valid pixels of some windows of the map; None when none has any. `grids` are the scenes of each grid of the
    map. Raises what reading raises."""
    best, most = None, 0
    windows = [
        (sheet, window) for sheet, blocks in enumerate(regions.sheets[:tried]) for window in blocks.samples(tried, edge)
    ]
    for sheet, window in windows[:tried]:
        scenes = grids[regions.grids[sheet]]
        source = source_window(scenes.image, window, model.halo, model.stride)
        pixels, valid = read_mosaic(scenes, source, reflectance=model.contract.units == "reflectance")
        count = int(valid[window.within(source)].sum())
        if count > most:
            best, most = RuntimeSample(pixels, valid, source, window), count
        if count == window.height * window.width:
            break
    return best
