"""A region of the map, made by one call: source pixels are read ahead, inferred and encoded, strip by strip.

A region covers many tiles of the file, so that a source block is decoded about once and the call's own cost is nothing. What
is in memory is a strip of the region and the one that is read ahead; it does not grow with the map.
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
from swath.maps.region_result import RegionResult
from swath.models.batching import BatchRunner
from swath.models.infer import masked_map, network_output
from swath.models.load import load_model
from swath.models.network_input import prepare
from swath.models.probabilities import encode_probabilities
from swath.models.torch_predictor import TorchPredictor

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes
    from swath.maps.layout import MapLayout
    from swath.models.contract import ModelInfo
    from swath.models.predictor import Predictor
    from swath.spec.fields.area import Area


READ_THREADS = {"cpu": 1, "cuda": 4}
"""How many strips are read ahead, each by a thread of its own."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Strip:
    """What was read for a strip of the region."""

    window: Window
    pieces: tuple[Window, ...]
    """Those that hold pixels of the area, from left to right."""
    mask: NDArray[np.bool_] | None
    """Where the strip is inside of the area; None: everywhere."""
    source: Window
    pixels: NDArray[Any]
    valid: NDArray[np.bool_]


def map_region(region: Region, scenes: Scenes, model: ModelInfo, area: Area | None, form: MapLayout) -> RegionResult:
    """One region of the map. `scenes` are those of its sheet. Raises what reading and inferring raise."""
    index, window, levels = region.block.index, region.block.window, form.levels[region.sheet]
    builders = [PartBuilder(index, window, encoding, levels) for encoding in form.encodings]
    for strips in map_strips(window, scenes, model, area, form):
        for builder, strip in zip(builders, strips, strict=True):
            builder.add(strip)
        progress(pixels=strips[0].shape[1] * strips[0].shape[2])
    if (share := device_usage(model)) is not None:
        log.info("the GPU has computed for %.0f %% of the time so far", 100 * share)
    return RegionResult(region.sheet, *(builder.part() for builder in builders))


def map_strips(
    window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, form: MapLayout
) -> Iterator[list[NDArray[Any]]]:
    """The map in `window`, and its probabilities when they are asked for, as strips (bands, height, width of the window) from
    the top down, nodata in place.

    The next strip is read by another thread while this one is inferred; for a GPU some more are, by several threads.
    """
    rows = range(window.row, window.stop_row, form.edge)
    strips = [Window(row, window.col, min(form.edge, window.stop_row - row), window.width) for row in rows]
    threads = READ_THREADS[model.device]
    ahead: deque[Future[_Strip | None]] = deque()
    context = contextvars.copy_context()
    try:
        for number, strip in enumerate(strips):
            for later in strips[number + len(ahead) : number + threads + 1]:
                ahead.append(
                    _readers(threads).submit(context.copy().run, _read_strip, later, scenes, model, area, form.edge)
                )
            yield _map_strip(strip, ahead.popleft().result(), scenes, model, form)
    finally:
        for pending in ahead:
            if not pending.cancel():
                pending.exception()  # the thread is free again for the next call


def _map_strip(
    window: Window, strip: _Strip | None, scenes: Scenes, model: ModelInfo, form: MapLayout
) -> list[NDArray[Any]]:
    made = [np.full((each.bands, *window.shape), each.nodata, each.dtype) for each in form.encodings]
    if strip is None:
        return made
    for piece, kept, output in _inferred(strip, scenes, model):
        here = (slice(None), *piece.within(window))
        made[0][here], valid = masked_map(output, kept, model.contract)
        if form.layers is not None:
            made[1][here] = encode_probabilities(output, valid, model.contract, form.layers)
    if strip.mask is not None:
        for array, encoding in zip(made, form.encodings, strict=True):
            array[:, ~strip.mask] = encoding.nodata
    return made


def _inferred(
    strip: _Strip, scenes: Scenes, model: ModelInfo
) -> Iterator[tuple[Window, NDArray[np.bool_], NDArray[np.float32]]]:
    """Each piece with a valid pixel: where its pixels are valid (h, w), and what the network says of them (channels, h, w)."""
    image = (scenes.image.shape[0], scenes.image.shape[1])
    pieces = [(piece, strip.valid[piece.within(strip.source)]) for piece in strip.pieces]
    pieces = [(piece, kept) for piece, kept in pieces if kept.any()]
    sources = [source_window(scenes.image, piece, model.halo, model.stride) for piece, _ in pieces]
    cut = [(strip.pixels[:, *at], strip.valid[at]) for at in (source.within(strip.source) for source in sources)]
    if model.device == "cpu" or model.lattice is not None:
        predictor = load_model(model)
        for (piece, kept), source, (pixels, valid) in zip(pieces, sources, cut, strict=True):
            yield piece, kept, network_output(predictor, model, pixels, valid, source, piece, image)
        return
    scaling = model.contract.scaling
    images = (prepare(pixels[None], valid[None], scaling, model.stride)[0] for pixels, valid in cut)
    for (piece, kept), source, said in zip(
        pieces, sources, _batches(cast("Hashable", load_model(model)))(images), strict=True
    ):
        yield piece, kept, said[:, *piece.within(source)]


@lru_cache(maxsize=2)
def _batches(predictor: Hashable) -> BatchRunner:
    """For a GPU: the size of batches that was found for a network stays."""
    return BatchRunner(cast("Predictor", predictor))


def device_usage(model: ModelInfo) -> float | None:
    """Which share of the time since its first call this process's GPU has computed; None where there is none."""
    predictor = load_model(model)
    return predictor.usage.share if model.device != "cpu" and isinstance(predictor, TorchPredictor) else None


@cache
def _readers(threads: int) -> ThreadPoolExecutor:
    """Kept for the process: each thread keeps its files open from call to call."""
    return ThreadPoolExecutor(threads, thread_name_prefix="swath-reader")


def _read_strip(window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, edge: int) -> _Strip | None:
    """None when no pixel of it is wanted."""
    columns = range(window.col, window.stop_col, edge)
    pieces = tuple(Window(window.row, col, window.height, min(edge, window.stop_col - col)) for col in columns)
    mask = None
    if area is not None or len(scenes.zones) > 1:
        mask = owned_mask(scenes, window)
        if area is not None:
            mask &= area_mask(area, scenes.image, window)
        pieces = tuple(piece for piece in pieces if mask[piece.within(window)].any())
        if mask.all():
            mask = None
    if not pieces:
        return None
    first, last = pieces[0], pieces[-1]
    wanted = Window(window.row, first.col, window.height, last.stop_col - first.col)
    source = source_window(scenes.image, wanted, model.halo, model.stride)
    pixels, valid = read_mosaic(scenes, source, reflectance=model.contract.units == "reflectance")
    return _Strip(window, pieces, mask, source, pixels, valid)
