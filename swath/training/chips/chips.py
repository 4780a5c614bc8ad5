"""Chips: small windows of imagery with their labels, read when they are wanted; the same ones for the same seed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.engine.fingerprint import fingerprint
from swath.geo import Window, source_window
from swath.imagery.labels.labels import read_labels
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.reading.window import Pixels
from swath.spec.fields.labels import IGNORE_INDEX
from swath.spec.fields.sampling import Sampling
from swath.training.chips.sampling import PixelSampler, centred_window
from swath.training.chips.survey import CELL_EDGE, ChipPlan
from swath.training.split.split import TEST, TRAIN, VALIDATION

CACHE_BYTES = 256 * 2**20
"""What one process keeps of decoded pixels."""
TILE_EDGE = 512
"""Edge in pixels of what is kept: the usual block of a COG, so that none is decoded twice for two tiles. A multiple of CELL."""
MAX_DRAWS = 16
"""How often another place is drawn for a chip with too few labels, before the best of them is taken."""
INVALID = 254
"""Beside the numbers of splits: no valid pixel is here."""


@dataclass(frozen=True)
class ChipBatch:
    """Some windows of one size."""

    pixels: NDArray[np.float32]
    """(n, bands, height, width), the files' numbers or physical values; 0 where not valid."""
    labels: NDArray[np.uint8]
    """(n, height, width); IGNORE_INDEX where there is no label, or where it is not of the wanted split."""
    valid: NDArray[np.bool_]
    """(n, height, width): where there are pixels, and they may be seen."""


@dataclass(frozen=True)
class SplitWindow:
    """A window in which a split is looked at as a whole."""

    image: int
    window: Window
    """Whose labels count."""
    source: Window
    """What is read: the window and what is around it."""
    split: int


@dataclass(frozen=True)
class _Tile:
    pixels: Pixels
    """(bands, height, width) as they are read."""
    labels: NDArray[np.uint8]
    places: NDArray[np.uint8]
    """Split of each pixel, BUFFER, or NOTHING."""

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + self.labels.nbytes + self.places.nbytes


class Chips:
    """The batches of a training. Which ones they are depends on the plan, the sampling, the seed and a batch's number alone: never on
    what was read before, so a training that is begun again sees the same. Decoded pixels are kept, up to `cache_bytes`, for this and
    the next trainings on the same data in this process: those of a matrix read it once."""

    def __init__(self, plan: ChipPlan, sampling: Sampling, seed: int, cache_bytes: int = CACHE_BYTES) -> None:
        self.plan, self.sampling, self.seed = plan, sampling, seed
        self._index = PixelSampler(plan.surveys, balanced=sampling.balance == "classes")
        self._tiles = _shared(plan, cache_bytes)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self.sampling.steps or max(1, -(-self._index.pixels // (self.sampling.chip**2 * self.sampling.batch)))

    def batch(self, number: int) -> ChipBatch:
        """The batch of a step, counted from 0 on through all epochs. Pixels of validation and test are not in it; those of the buffer
        are, without labels. Raises what swath.imagery.reading.mosaic.read_mosaic raises."""
        places = self.places(number)
        batch = self._empty(len(places), places[0][1])
        for at, (image, window) in enumerate(places):
            labels, found = self._tiles.read(image, window, batch.pixels[at])
            labels[found != TRAIN] = IGNORE_INDEX
            _show(batch, at, labels, _trained(found))
        return batch

    def places(self, number: int) -> tuple[tuple[int, Window], ...]:
        """Where the chips of a batch are: for each the number of the image and the window, which may reach beyond an image that is
        smaller than a chip."""
        chance = np.random.default_rng([self.seed, number])
        return tuple(self._place(chance) for _ in range(self.sampling.batch))

    def windows(self, split: int, edge: int = TILE_EDGE, halo: int = 0) -> tuple[SplitWindow, ...]:
        """Windows that hold each labelled pixel of a split once, `halo` pixels around them read as well."""
        found = []
        for number, survey in enumerate(self.plan.surveys):
            image, whole = self.plan.images[number].scenes.image, survey.window
            for row in range(whole.row, whole.stop_row, edge):
                for col in range(whole.col, whole.stop_col, edge):
                    window = Window(row, col, min(edge, whole.stop_row - row), min(edge, whole.stop_col - col))
                    top, left = (row - whole.row) // CELL_EDGE, (col - whole.col) // CELL_EDGE
                    stop_row = -(-(window.stop_row - whole.row) // CELL_EDGE)
                    stop_col = -(-(window.stop_col - whole.col) // CELL_EDGE)
                    if survey.cells[top:stop_row, left:stop_col, split].any():
                        found.append(SplitWindow(number, window, source_window(image, window, halo, 1), split))
        return tuple(found)

    def window(self, held: SplitWindow) -> ChipBatch:
        """One of `windows` as a batch of one: the labels of its split in that window, and all valid pixels, as predict sees them; of
        training windows without those that are held back."""
        batch = self._empty(1, held.source)
        labels, places = self._tiles.read(held.image, held.source, batch.pixels[0])
        counted = np.zeros(labels.shape, bool)
        counted[held.window.within(held.source)] = True
        counted &= places == held.split
        labels[~counted] = IGNORE_INDEX
        _show(batch, 0, labels, _trained(places) if held.split == TRAIN else places != INVALID)
        return batch

    def held(self, split: int = VALIDATION, edge: int = TILE_EDGE, halo: int = 0) -> Iterator[ChipBatch]:
        """All of `windows`, one after the other."""
        return (self.window(each) for each in self.windows(split, edge, halo))

    def _place(self, chance: np.random.Generator) -> tuple[int, Window]:
        edge = self.sampling.chip
        best: tuple[float, int, Window] | None = None
        for _ in range(MAX_DRAWS):
            target = self._index.draw(chance)
            row, col = self._pixel(target.image, target.cell, target.label, target.rank)
            window = centred_window(row, col, edge, self.plan.images[target.image].scenes.image)
            share = np.count_nonzero(self._tiles.known(target.image, window) != IGNORE_INDEX) / edge**2
            if best is None or share > best[0]:
                best = (share, target.image, window)
            if share >= self.sampling.min_valid:
                break
        if best is None:
            raise ValueError("a chip is tried at least once")
        return best[1:]

    def _empty(self, count: int, window: Window) -> ChipBatch:
        bands = len(self.plan.images[0].scenes.bands)
        return ChipBatch(
            np.zeros((count, bands, *window.shape), np.float32),
            np.empty((count, *window.shape), np.uint8),
            np.empty((count, *window.shape), bool),
        )

    def _pixel(self, image: int, cell: Window, label: int | None, rank: float) -> tuple[int, int]:
        """The pixel of a cell that was drawn."""
        inside = cell.intersection(self.plan.surveys[image].window) or cell
        labels = self._tiles.known(image, inside)
        fitting = np.flatnonzero(labels != IGNORE_INDEX if label is None else labels == label)
        row, col = divmod(int(fitting[int(rank * len(fitting))]), inside.width)
        return inside.row + row, inside.col + col


class _Tiles:
    """Decoded tiles, the least recently used thrown away first. Threads may share it; a copy in another process begins empty."""

    def __init__(self, plan: ChipPlan, limit: int) -> None:
        self._plan, self._limit = plan, limit
        self._empty()

    def _empty(self) -> None:
        self._kept: OrderedDict[tuple[int, int, int], _Tile] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_plan": self._plan, "_limit": self._limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._empty()

    def read(
        self, image: int, window: Window, pixels: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Labels and places of a window, NOTHING beyond the image's edge; its pixels are written into `pixels`, which is 0."""
        labels = np.full(window.shape, IGNORE_INDEX, np.uint8)
        places = np.full(window.shape, INVALID, np.uint8)
        for tile, here, there in self._touching(image, window):
            pixels[:, *here] = tile.pixels[:, *there]
            labels[here], places[here] = tile.labels[there], tile.places[there]
        return labels, places

    def known(self, image: int, window: Window) -> NDArray[np.uint8]:
        """Labels of the training pixels of a window; IGNORE_INDEX elsewhere."""
        found = np.full(window.shape, IGNORE_INDEX, np.uint8)
        for tile, here, there in self._touching(image, window):
            found[here] = np.where(tile.places[there] == TRAIN, tile.labels[there], np.uint8(IGNORE_INDEX))
        return found

    def _touching(self, image: int, window: Window) -> Iterator[tuple[_Tile, tuple[slice, slice], tuple[slice, slice]]]:
        """Each tile that shares pixels with a window, and the slices of those in the window and in the tile."""
        height, width = self._plan.images[image].scenes.image.shape
        inside = window.intersection(Window(0, 0, height, width))
        if inside is None:
            return
        for row in range(inside.row // TILE_EDGE, -(-inside.stop_row // TILE_EDGE)):
            for col in range(inside.col // TILE_EDGE, -(-inside.stop_col // TILE_EDGE)):
                whole = Window(
                    row * TILE_EDGE,
                    col * TILE_EDGE,
                    min(TILE_EDGE, height - row * TILE_EDGE),
                    min(TILE_EDGE, width - col * TILE_EDGE),
                )
                shared = whole.intersection(inside)
                if shared is not None:
                    yield self._tile(image, whole), shared.within(window), shared.within(whole)

    def _tile(self, image: int, window: Window) -> _Tile:
        key = (image, window.row, window.col)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        tile = self._decoded(image, window)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = tile
                self._bytes += tile.nbytes
            while self._bytes > self._limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return tile

    def _decoded(self, image: int, window: Window) -> _Tile:
        labelled = self._plan.images[image]
        pixels, valid = read_mosaic(labelled.scenes, window, reflectance=self._plan.reflectance)
        places = self._plan.split.of_scenes(labelled.scenes, window)
        places[~valid] = INVALID
        return _Tile(pixels, read_labels(labelled.labels, window), places)


_HELD: dict[tuple[str, int], _Tiles] = {}
"""Of the data that was asked for last; one entry at most."""
_HOLDING = threading.Lock()


def _shared(plan: ChipPlan, limit: int) -> _Tiles:
    """The tiles of a plan, the same ones as before when the plan is that of before."""
    key = (fingerprint(plan), limit)
    with _HOLDING:
        if key not in _HELD:
            _HELD.clear()
            _HELD[key] = _Tiles(plan, limit)
        return _HELD[key]


def _trained(places: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What a training may see: valid pixels that are not held back."""
    seen: NDArray[np.bool_] = (places != INVALID) & (places != VALIDATION) & (places != TEST)
    return seen


def _show(batch: ChipBatch, at: int, labels: NDArray[np.uint8], seen: NDArray[np.bool_]) -> None:
    """Put the labels of one window into a batch that has its pixels, and take away the pixels that are not to be seen."""
    batch.labels[at], batch.valid[at] = labels, seen
    if not seen.all():
        np.copyto(batch.pixels[at], 0, where=~seen)
