"""Scenes from either source, on one image grid."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from swath.imagery import files, stac
from swath.imagery.clouds import by_clouds
from swath.imagery.grid import offset_in
from swath.imagery.scene import Scenes
from swath.spec.fields import FilesImagery

if TYPE_CHECKING:
    from swath.spec.fields import Area, GridSpec, StacImagery


def find(
    imagery: FilesImagery | StacImagery,
    bands: tuple[str, ...] | None = None,
    area: Area | None = None,
    grid: GridSpec | None = None,
) -> Scenes:
    """Everything a map of `imagery` is made from, in the order that its mosaic rule takes. `bands` are the model's names."""
    if isinstance(imagery, FilesImagery):
        scenes = files.find_scenes(imagery, bands, area, grid)
    else:
        scenes = stac.find_scenes(imagery, bands, area, grid)
    notes = list(scenes.notes)
    if scenes.mosaic == "least_cloud":
        scenes = replace(scenes, scenes=by_clouds(scenes.scenes, scenes.mask, notes))
    return replace(scenes, notes=tuple(dict.fromkeys([*notes, *resampled(scenes)])))


def resampled(scenes: Scenes) -> list[str]:
    """What is not read on its own pixels, and how it is brought onto the map's, one line for each band and kind of grid."""
    found: Counter[str] = Counter()
    for scene in scenes.scenes:
        asked = [(band, scenes.resampling) for band in scene.bands]
        if scene.quality is not None:
            asked.append((scene.quality, "nearest"))
        for band, how in asked:
            if offset_in(band.geobox, scenes.image) is None:
                found[f"{band.name} ({abs(band.geobox.resolution.x):g} in {band.geobox.crs}): resampled, {how}"] += 1
    count = len(scenes.scenes)
    return [line if times == count else f"{line}, in {times} of {count} scenes" for line, times in found.items()]
