"""A region of the map, made by one call: source pixels are read ahead, inferred and encoded, strip by strip.

A region covers many tiles of the file, so that a source block is decoded about once and the call's own cost is nothing. What
is in memory is a strip of the region and the one that is read ahead; it does not grow with the map.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window, around
from swath.graph.current import progress
from swath.imagery.encoding import Encoding
from swath.imagery.grid import area_mask
from swath.imagery.part import Part, PartBuilder
from swath.imagery.read import read
from swath.models.infer import finish, logits
from swath.models.load import Predictor, load
from swath.models.probabilities import Layers, encode_probabilities

if TYPE_CHECKING:
    from swath.geo import Block
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
    layers: Layers | None = None
    """How probable each class is, for a file of its own; None when nobody asked."""

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """Of the map, and of its probabilities when they are asked for."""
        if self.layers is None:
            return (self.encoding,)
        layers = self.layers
        return (
            self.encoding,
            Encoding(layers.dtype, layers.nodata, len(layers.names), blocksize=self.encoding.blocksize),
        )


@dataclass(frozen=True)
class Made:
    """What one call made of a region: a part for each file."""

    map: Part
    probabilities: Part | None = None

    @property
    def index(self) -> int:
        """The region's."""
        return self.map.index


@dataclass(frozen=True)
class Parts(Sequence[Part]):
    """The parts of one file among all that regions made; taken when they are asked for."""

    made: Sequence[Made]
    name: str
    """Of the field of Made."""

    def __len__(self) -> int:
        return len(self.made)

    @overload
    def __getitem__(self, item: int) -> Part: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Part]: ...
    def __getitem__(self, item: int | slice) -> Part | Sequence[Part]:
        if isinstance(item, slice):
            return Parts(self.made[item], self.name)
        part: Part = getattr(self.made[item], self.name)
        return part

    def __iter__(self) -> Iterator[Part]:
        return (getattr(made, self.name) for made in self.made)


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


def map_region(region: Block, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form) -> Made:
    """One region of the map. Raises what reading and inferring raise."""
    builders = [PartBuilder(region.index, region.window, encoding, form.levels) for encoding in form.encodings]
    for strips in map_strips(region.window, scenes, model, area, form):
        for builder, strip in zip(builders, strips, strict=True):
            builder.add(strip)
        progress(pixels=strips[0].shape[1] * strips[0].shape[2])
    return Made(*(builder.part() for builder in builders))


def map_strips(
    window: Window, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form
) -> Iterator[list[NDArray[Any]]]:
    """The map in `window`, and its probabilities when they are asked for, as strips (bands, height, width of the window) from
    the top down, nodata in place.

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
) -> list[NDArray[Any]]:
    made = [np.full((each.bands, *window.shape), each.nodata, each.dtype) for each in form.encodings]
    if strip is None:
        return made
    for piece in strip.pieces:
        kept = strip.valid[piece.within(strip.source)]
        if not kept.any():
            continue
        source = around(scenes.image, piece, model.halo, model.stride)
        at, here = source.within(strip.source), (slice(None), *piece.within(window))
        output = logits(predictor, model, strip.pixels[:, *at], strip.valid[at], source, piece)
        made[0][here], valid = finish(output, kept, model.contract)
        if form.layers is not None:
            made[1][here] = encode_probabilities(output, valid, model.contract, form.layers)
    if strip.mask is not None:
        for array, encoding in zip(made, form.encodings, strict=True):
            array[:, ~strip.mask] = encoding.nodata
    return made


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
