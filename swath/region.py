"""A region of the map, made by one call: source pixels are read ahead, inferred and encoded, strip by strip.

A region covers many tiles of the file, so that a source block is decoded about once and the call's own cost is nothing. What
is in memory is a strip of the region and the one that is read ahead; it does not grow with the map.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window, around
from swath.graph.current import progress
from swath.imagery.grid import area_mask
from swath.imagery.part import Part, PartBuilder
from swath.imagery.read import read
from swath.models.infer import infer
from swath.models.load import Predictor, load

if TYPE_CHECKING:
    from swath.geo import Block
    from swath.imagery.encoding import Encoding
    from swath.imagery.scene import Scenes
    from swath.models.contract import ModelInfo
    from swath.spec.fields import Area


@dataclass(frozen=True)
class Form:
    """What all regions of a map have in common, beside imagery and model."""

    encoding: Encoding
    levels: int
    """How many levels of the file, the full resolution among them, a region makes."""
    edge: int
    """Edge of the pieces that the network gets, in pixels, without halo. The map does not depend on it."""


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


def map_region(region: Block, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form) -> Part:
    """One region of the map. Raises what reading and inferring raise."""
    builder = PartBuilder(region.index, region.window, form.encoding, form.levels)
    for strip in map_strips(region.window, scenes, model, area, form):
        builder.add(strip)
        progress(pixels=strip.shape[1] * strip.shape[2])
    return builder.part()


def map_strips(
    window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form
) -> Iterator[NDArray[Any]]:
    """The map in `window` as strips (bands, height, width of the window) from the top down, nodata in place.

    The next strip is read by another thread while this one is inferred.
    """
    predictor = load(model)
    rows = range(window.row, window.stop_row, form.edge)
    strips = [Window(row, window.col, min(form.edge, window.stop_row - row), window.width) for row in rows]
    pending: Future[_Strip | None] | None = None
    try:
        for number, strip in enumerate(strips):
            here = (pending or _read_ahead(strip, scenes, model, area, form.edge)).result()
            pending = None
            if number + 1 < len(strips):
                pending = _read_ahead(strips[number + 1], scenes, model, area, form.edge)
            yield _map_strip(strip, here, predictor, scenes, model, form)
    finally:
        if pending is not None and not pending.cancel():
            pending.exception()  # the thread is free again for the next call


def _map_strip(
    window: Window, strip: _Strip | None, predictor: Predictor, scenes: Scenes, model: ModelInfo, form: Form
) -> NDArray[Any]:
    mapped = np.full((form.encoding.bands, *window.shape), form.encoding.nodata, form.encoding.dtype)
    if strip is None:
        return mapped
    for piece in strip.pieces:
        source = around(scenes.image, piece, model.halo, model.stride)
        at = source.within(strip.source)
        found, valid = infer(predictor, model, strip.pixels[:, *at], strip.valid[at], source, piece)
        if valid.any():
            mapped[:, *piece.within(window)] = found
    if strip.mask is not None:
        mapped[:, ~strip.mask] = form.encoding.nodata
    return mapped


def _read_ahead(
    window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, edge: int
) -> Future[_Strip | None]:
    context = contextvars.copy_context()
    return _reader().submit(context.run, _read_strip, window, scenes, model, area, edge)


@cache
def _reader() -> ThreadPoolExecutor:
    """One thread for the process: it keeps its files open from call to call."""
    return ThreadPoolExecutor(1, thread_name_prefix="swath-reader")


def _read_strip(window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, edge: int) -> _Strip | None:
    """None when no pixel of it is wanted."""
    columns = range(window.col, window.stop_col, edge)
    pieces = tuple(Window(window.row, col, window.height, min(edge, window.stop_col - col)) for col in columns)
    mask = None
    if area is not None:
        mask = area_mask(area, scenes.image, window)
        pieces = tuple(piece for piece in pieces if mask[piece.within(window)].any())
        if mask.all():
            mask = None
    if not pieces:
        return None
    first, last = pieces[0], pieces[-1]
    wanted = Window(window.row, first.col, window.height, last.stop_col - first.col)
    source = around(scenes.image, wanted, model.halo, model.stride)
    pixels, valid = read(scenes, source, reflectance=model.contract.units == "reflectance")
    return _Strip(window, pieces, mask, source, pixels, valid)


LARGEST = 4096
"""Edge of the largest regions that are chosen."""
FEWEST = 8
"""A map is cut into at least so many regions, as long as they are larger than one tile."""


def region_edge(window: Window, blocksize: int) -> int:
    """Edge of the regions for a map of this window, in pixels: a power of two times `blocksize`."""
    edge = max(blocksize, LARGEST // blocksize * blocksize)
    while edge > blocksize and -(-window.height // edge) * -(-window.width // edge) < FEWEST:
        edge //= 2
    return edge


def piece_edge(model: ModelInfo, region: int, blocksize: int) -> int:
    """Edge of the pieces that the network gets, in pixels: whole tiles of the file, at most a region."""
    return min(region, max(blocksize, 512))
