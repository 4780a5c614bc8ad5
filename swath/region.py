"""A region of the map, made by one call: source pixels are read ahead, inferred and encoded, strip by strip.

A region covers many tiles of the file, so that a source block is decoded about once and the call's own cost is nothing. What
is in memory is a strip of the region and the one that is read ahead; it does not grow with the map.
"""

from __future__ import annotations

import bisect
import contextvars
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from swath.errors import AreaError
from swath.geo import Blocks, Region, Regions, Window, around
from swath.graph.current import progress
from swath.imagery.encoding import Encoding
from swath.imagery.grid import area_mask, output_window, wanted_blocks
from swath.imagery.part import Part, PartBuilder, levels_of
from swath.imagery.read import read
from swath.imagery.tiff import level_shapes
from swath.imagery.zones import owned, owned_window
from swath.models.infer import finish, logits
from swath.models.load import Predictor, load
from swath.models.probabilities import Layers, encode_probabilities, probability_layers
from swath.models.tile import tile_edge

if TYPE_CHECKING:
    from swath.imagery.scene import Scenes
    from swath.models.contract import ModelInfo
    from swath.spec.fields import Area, Output


@dataclass(frozen=True)
class Form:
    """What all regions of a map have in common, beside imagery and model."""

    encoding: Encoding
    levels: tuple[int, ...]
    """Of each sheet: how many levels of the file, the full resolution among them, a region makes."""
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

    sheet: int
    map: Part
    probabilities: Part | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Sheet and index of the region: what comes in this order."""
        return self.sheet, self.map.index


@dataclass(frozen=True)
class Parts(Sequence[Part]):
    """The parts of one file among all that regions made; taken when they are asked for."""

    made: Sequence[Made]
    """In the order of their regions; some may have been set aside."""
    name: str
    """Of the field of Made."""
    places: range
    """Where they are in `made`."""

    @classmethod
    def of(cls, made: Sequence[Made], name: str, regions: Regions, sheet: int) -> Parts:
        """Those of one sheet."""
        if len(made) == len(regions):
            start, stop = regions.first(sheet), regions.first(sheet + 1)
        else:
            start, stop = (
                bisect.bisect_left(made, (number, -1), key=lambda each: each.place) for number in (sheet, sheet + 1)
            )
        return cls(made, name, range(start, stop))

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, item: int) -> Part: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Part]: ...
    def __getitem__(self, item: int | slice) -> Part | Sequence[Part]:
        if isinstance(item, slice):
            return Parts(self.made, self.name, self.places[item])
        part: Part = getattr(self.made[self.places[item]], self.name)
        return part

    def __iter__(self) -> Iterator[Part]:
        return (getattr(made, self.name) for made in islice(self.made, self.places.start, self.places.stop))

    def touching(self, blocks: Blocks, window: Window) -> list[Part]:
        """Those that share pixels with `window`."""
        found = []
        for index in blocks.touching(window):
            place = bisect.bisect_left(self, index, key=lambda part: part.index)
            if place < len(self) and self[place].index == index:
                found.append(self[place])
        return found


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


def map_region(region: Region, scenes: Scenes, model: ModelInfo, area: Area | None, form: Form) -> Made:
    """One region of the map. `scenes` are those of its sheet. Raises what reading and inferring raise."""
    index, window, levels = region.block.index, region.block.window, form.levels[region.sheet]
    builders = [PartBuilder(index, window, encoding, levels) for encoding in form.encodings]
    for strips in map_strips(window, scenes, model, area, form):
        for builder, strip in zip(builders, strips, strict=True):
            builder.add(strip)
        progress(pixels=strips[0].shape[1] * strips[0].shape[2])
    return Made(region.sheet, *(builder.part() for builder in builders))


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
        output = logits(
            predictor,
            model,
            strip.pixels[:, *at],
            strip.valid[at],
            source,
            piece,
            (scenes.image.shape[0], scenes.image.shape[1]),
        )
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
    if area is not None or len(scenes.zones) > 1:
        mask = owned(scenes, window)
        if area is not None:
            mask &= area_mask(area, scenes.image, window)
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


def region_edge(windows: Sequence[Window], blocksize: int) -> int:
    """Edge of the regions of a map with these windows, in pixels: a power of two times `blocksize`."""
    edge = max(blocksize, LARGEST // blocksize * blocksize)
    while edge > blocksize and sum(-(-window.height // edge) * -(-window.width // edge) for window in windows) < FEWEST:
        edge //= 2
    return edge


def grid_windows(grids: Sequence[Scenes], area: Area | None) -> dict[int, Window]:
    """What is mapped of each grid, by its number; those without a pixel are left out. `grids` are the scenes of each grid of
    the map, see swath.imagery.find.find_sheets. Raises AreaError when the area meets none of them."""
    windows: dict[int, Window] = {}
    elsewhere: AreaError | None = None
    for number, scenes in enumerate(grids):
        try:
            window = output_window(scenes.image, area)
        except AreaError as error:
            elsewhere = elsewhere or error
            continue
        own = owned_window(scenes)
        within = None if own is None else window.intersection(own)
        if within is not None:
            windows[number] = within
    if not windows:
        raise elsewhere or AreaError("the area has no pixel of the imagery")
    return windows


def plan_sheets(
    grids: Sequence[Scenes], area: Area | None, output: Output, region: int | None, *, halo: int = 0, stride: int = 1
) -> Regions:
    """The sheets of a map and their regions. Raises AreaError when the area meets none of the grids."""
    from swath.imagery.sheets import sheet_windows

    windows = grid_windows(grids, area)
    edge = region or region_edge(list(windows.values()), output.blocksize)
    sheets, on = [], []
    for number, window in windows.items():
        for sheet in sheet_windows(window, edge, output.sheet):
            blocks = Blocks(grids[number].image, sheet, edge, halo, stride)
            sheets.append(wanted_blocks(blocks, area))
            on.append(number)
    return Regions(tuple(sheets), tuple(on))


def form_of(regions: Regions, model: ModelInfo, channels: int, output: Output) -> Form:
    """How the files of a map are laid out; `channels` is how many numbers the network gives for a pixel."""
    contract, size = model.contract, output.blocksize
    classes = contract.output == "classes"
    encoding = Encoding(
        contract.dtype, contract.nodata, 1 if classes else channels, classes and bool(contract.classes), size
    )
    levels = tuple(levels_of(each.size, size, len(level_shapes(*each.output.shape, size))) for each in regions.sheets)
    edge = min(regions.sheets[0].size, max(size, tile_edge(model)))
    layers = probability_layers(contract, output.probabilities) if output.probabilities else None
    return Form(encoding, levels, edge, layers)
