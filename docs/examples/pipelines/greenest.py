"""Greenest: a cloud-free composite, in which each pixel has all bands of the clear scene with the highest NDVI.

scenes      the imagery on its grid; clouds are what `imagery.mask` rejects      on the client
tiles       the tiles of the map                                                 on the client
composed    one call per tile: every scene is read once                          streamed over the workers
map         COG, picture and STAC item                                           on the client, all or nothing
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import model_validator

import swath
from swath import Area, GridSpec, Imagery, Output, Spec, pipeline, task


class Greenest(Spec):
    """A cloud-free composite of the greenest pixels."""

    imagery: Imagery
    """The scenes, with a `mask`."""
    output: Output
    """Folder of the composite."""
    bands: tuple[str, ...] = ("blue", "green", "red", "nir")
    """Bands of the composite; red and nir are among them."""
    area: Area | None = None
    """Where; everything that the imagery covers when not given."""
    grid: GridSpec | None = None
    """The grid of the composite; the imagery's own when not given."""

    @model_validator(mode="after")
    def _can_be_ranked(self) -> Greenest:
        if not {"red", "nir"} <= set(self.bands):
            raise ValueError("bands: red and nir are needed to tell which scene is the greenest")
        return self


@pipeline
def greenest(spec: Greenest) -> Any:
    """A cloud-free composite of the greenest pixels."""
    scenes = find(spec.imagery, bands=spec.bands, area=spec.area, grid=spec.grid)
    tiles = plan(scenes, output=spec.output, area=spec.area)
    composed = compose.map(tiles, scenes=scenes)
    return publish(composed, tiles=tiles, scenes=scenes, output=spec.output)


@task(cache=False, on_client=True)
def find(imagery: Imagery, *, bands: tuple[str, ...], area: Area | None, grid: GridSpec | None) -> Any:
    return swath.find_scenes(imagery, bands, area, grid)


@task(on_client=True)
def plan(scenes: Any, *, output: Output, area: Area | None) -> Any:
    """Numbers as in the files, and how many clear scenes each pixel has."""
    return swath.tiles(scenes, output, area=area, bands=[*scenes.bands, "clear"], dtype="uint16", nodata=0)


@task(retries=2)
def compose(tile: Any, *, scenes: Any) -> Any:
    """One tile: scene after scene, so that two are in memory, however many there are."""
    import numpy as np

    best = np.full(tile.window.shape, -np.inf, np.float32)
    chosen = np.zeros((len(scenes.bands), *tile.window.shape), np.uint16)
    clear = np.zeros(tile.window.shape, np.uint16)
    for scene in scenes.scenes:
        block = swath.read(replace(scenes, scenes=(scene,)), tile)
        red, nir = block.band("red").astype(np.float32), block.band("nir").astype(np.float32)
        ndvi = (nir - red) / np.maximum(nir + red, 1)
        greener = block.valid & (ndvi > best)
        best[greener] = ndvi[greener]
        chosen[:, greener] = block.pixels[:, greener]
        clear += block.valid
    return tile.encode(np.concatenate([chosen, clear[None]]), clear > 0)


@task(on_client=True)
def publish(composed: Any, *, tiles: Any, scenes: Any, output: Output) -> Any:
    lineage = f"The clear scene with the highest NDVI of {len(scenes.scenes)}, for each pixel"
    return swath.publish_map(composed, tiles, scenes, output, lineage=lineage)
