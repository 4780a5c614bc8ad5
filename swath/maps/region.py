"""Computes one region of the map: source pixels are prefetched, inferred and encoded, strip by strip.

A region covers many tiles of the file, so that a source block is decoded about once and the overhead of a call is small. In
memory are a strip of the region and those that are prefetched, whatever the size of the map.
"""

from __future__ import annotations

import contextvars
import logging
from collections import deque
from collections.abc import Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from swath.geo import Region, Window, source_window
from swath.graph.call_context import progress
from swath.imagery.geometry.image_grid import area_mask
from swath.imagery.geometry.utm_zones import owned_mask
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.cog.encoded_part import PartBuilder
from swath.maps.ground import window_km2
from swath.maps.region_result import RegionResult
from swath.models.batching import BatchRunner
from swath.models.infer import masked_map, network_images, network_output
from swath.models.load import load_model
from swath.models.probabilities import encode_probabilities
from swath.models.torch_predictor import TorchPredictor

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes
    from swath.maps.layout import MapLayout
    from swath.models.contract import ModelInfo
    from swath.models.predictor import Predictor
    from swath.spec.fields.area import Area


READ_THREADS = {"cpu": 1, "cuda": 4}
"""Strips that are prefetched, each by a thread of its own, by the device of the network."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Strip:
    """Source pixels of one strip of the region."""

    window: Window
    """The strip, in pixels of the image grid."""
    tiles: tuple[Window, ...]
    """The network's tiles that hold pixels of the area, from left to right, without halo."""
    mask: NDArray[np.bool_] | None
    """(height, width) of the strip: True inside of the area. None: the area covers all of it."""
    source: Window
    """What was read: the tiles with their halo."""
    pixels: NDArray[Any]
    """(bands, height, width) of `source`, in the scenes' dtype or as float32 reflectance; 0 where invalid."""
    valid: NDArray[np.bool_]
    """(height, width) of `source`."""


def map_region(region: Region, scenes: Scenes, model: ModelInfo, area: Area | None, layout: MapLayout) -> RegionResult:
    """Compute one region of the map. `scenes` are those of its sheet. Raises what reading and inference raise."""
    index, window, levels = region.block.index, region.block.window, layout.levels[region.sheet]
    pixel_km2 = window_km2(scenes.image, window) / (window.height * window.width)
    builders = [PartBuilder(index, window, encoding, levels) for encoding in layout.encodings]
    for strips in map_strips(window, scenes, model, area, layout):
        for builder, strip in zip(builders, strips, strict=True):
            builder.add(strip)
        pixels = strips[0].shape[1] * strips[0].shape[2]
        progress(pixels=pixels, ground_km2=pixels * pixel_km2)
    if (share := device_usage(model)) is not None:
        log.info("the GPU has computed for %.0f %% of the time so far", 100 * share)
    return RegionResult(region.sheet, *(builder.part() for builder in builders))


def map_strips(
    window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, layout: MapLayout
) -> Iterator[list[NDArray[Any]]]:
    """The map in `window`, and its probabilities when the layout has them: one array (bands, height of the strip, width of the
    window) for each, strip by strip from the top down, with nodata in place and in the dtype of the layout's encodings.

    Another thread reads the next strip while this one is inferred; for a GPU several threads read some more.
    """
    rows = range(window.row, window.stop_row, layout.edge)
    strips = [Window(row, window.col, min(layout.edge, window.stop_row - row), window.width) for row in rows]
    threads = READ_THREADS[model.device]
    prefetched: deque[Future[_Strip | None]] = deque()
    context = contextvars.copy_context()
    try:
        for number, strip in enumerate(strips):
            for later in strips[number + len(prefetched) : number + threads + 1]:
                prefetched.append(
                    _readers(threads).submit(context.copy().run, _read_strip, later, scenes, model, area, layout.edge)
                )
            yield _map_strip(strip, prefetched.popleft().result(), scenes, model, layout)
    finally:
        for pending in prefetched:
            if not pending.cancel():
                pending.exception()  # the thread is free again for the next call


def _map_strip(
    window: Window, strip: _Strip | None, scenes: Scenes, model: ModelInfo, layout: MapLayout
) -> list[NDArray[Any]]:
    arrays = [np.full((each.bands, *window.shape), each.nodata, each.dtype) for each in layout.encodings]
    if strip is None:
        return arrays
    for tile, mask, output in _infer(strip, scenes, model):
        here = (slice(None), *tile.within(window))
        arrays[0][here], valid = masked_map(output, mask, model.contract)
        if layout.layers is not None:
            arrays[1][here] = encode_probabilities(output, valid, model.contract, layout.layers)
    if strip.mask is not None:
        for array, encoding in zip(arrays, layout.encodings, strict=True):
            array[:, ~strip.mask] = encoding.nodata
    return arrays


def _infer(
    strip: _Strip, scenes: Scenes, model: ModelInfo
) -> Iterator[tuple[Window, NDArray[np.bool_], NDArray[np.float32]]]:
    """For each tile with a valid pixel: the tile, its valid pixels (height, width), the network's output (channels, height, width)."""
    image = (scenes.image.shape[0], scenes.image.shape[1])
    tiles = [(tile, strip.valid[tile.within(strip.source)]) for tile in strip.tiles]
    tiles = [(tile, mask) for tile, mask in tiles if mask.any()]
    sources = [source_window(scenes.image, tile, model.halo, model.stride) for tile, _ in tiles]
    cut = [(strip.pixels[:, *at], strip.valid[at]) for at in (source.within(strip.source) for source in sources)]
    if model.device == "cpu" or model.lattice is not None:
        predictor = load_model(model)
        for (tile, mask), source, (pixels, valid) in zip(tiles, sources, cut, strict=True):
            yield tile, mask, network_output(predictor, model, pixels, valid, source, tile, image)
        return
    images = (network_images(model, pixels, valid)[0] for pixels, valid in cut)
    for (tile, mask), source, values in zip(
        tiles, sources, _batch_runner(cast("Hashable", load_model(model)))(images), strict=True
    ):
        yield tile, mask, values[:, *tile.within(source)]


@lru_cache(maxsize=2)
def _batch_runner(predictor: Hashable) -> BatchRunner:
    """For a GPU: cached, so that the batch size that was found for a network is used again."""
    return BatchRunner(cast("Predictor", predictor))


def device_usage(model: ModelInfo) -> float | None:
    """The share (0..1) of the time since its first call in which this process's GPU has computed; None without a GPU."""
    predictor = load_model(model)
    return predictor.usage.share if model.device != "cpu" and isinstance(predictor, TorchPredictor) else None


@cache
def _readers(threads: int) -> ThreadPoolExecutor:
    """One pool for the process: each of its threads keeps its datasets open from call to call."""
    return ThreadPoolExecutor(threads, thread_name_prefix="swath-reader")


def _read_strip(window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, edge: int) -> _Strip | None:
    """Read a strip; None when it has no pixel of the area."""
    columns = range(window.col, window.stop_col, edge)
    tiles = tuple(Window(window.row, col, window.height, min(edge, window.stop_col - col)) for col in columns)
    mask = None
    if area is not None or len(scenes.zones) > 1:
        mask = owned_mask(scenes, window)
        if area is not None:
            mask &= area_mask(area, scenes.image, window)
        tiles = tuple(tile for tile in tiles if mask[tile.within(window)].any())
        if mask.all():
            mask = None
    if not tiles:
        return None
    first, last = tiles[0], tiles[-1]
    covered = Window(window.row, first.col, window.height, last.stop_col - first.col)
    source = source_window(scenes.image, covered, model.halo, model.stride)
    pixels, valid = read_mosaic(scenes, source, reflectance=model.contract.units == "reflectance")
    return _Strip(window, tiles, mask, source, pixels, valid)
