"""Chips: batches of small windows of labelled imagery, read when a step needs them; the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window, source_window
from swath.spec.fields.labels import IGNORE_INDEX
from swath.spec.fields.sampling import Sampling
from swath.training.chips.chip_plan import ChipPlan
from swath.training.chips.sampler import PixelSampler, centred_window
from swath.training.chips.survey import CELL_EDGE
from swath.training.chips.tile_cache import INVALID, TILE_EDGE, shared_cache
from swath.training.split.split import TEST, TRAIN, VALIDATION

CACHE_BYTES = 256 * 2**20
"""Decoded pixels that one process keeps."""
MAX_CHIP_DRAWS = 16
"""How often another place is drawn for a chip with too few labels, before the best of them is taken."""


@dataclass(frozen=True)
class ChipBatch:
    """Windows of one size."""

    pixels: NDArray[np.float32]
    """(N, bands, height, width), the files' numbers or physical values; 0 where not valid."""
    labels: NDArray[np.uint8]
    """(N, height, width); IGNORE_INDEX where there is no label, or where the pixel is not of the batch's split."""
    valid: NDArray[np.bool_]
    """(N, height, width): where there is a pixel that the network may get."""


@dataclass(frozen=True)
class SplitWindow:
    """A window of an image that has labelled pixels of a split."""

    image: int
    window: Window
    """Whose labels count."""
    source: Window
    """What is read: the window with its halo."""
    split: int


class Chips:
    """The batches of a training, and the windows of each split.

    A batch depends on the plan, the sampling, the seed and its number alone, never on what was read before, so a resumed training
    gets the same batches. Up to `cache_bytes` of decoded pixels are kept, also for later trainings on the same data in this
    process.
    """

    def __init__(self, plan: ChipPlan, sampling: Sampling, seed: int, cache_bytes: int = CACHE_BYTES) -> None:
        self.plan, self.sampling, self.seed = plan, sampling, seed
        self._sampler = PixelSampler(plan.surveys, balanced=sampling.balance == "classes")
        self._tiles = shared_cache(plan, cache_bytes)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch: those of the sampling, else as many as cover each labelled training pixel about once."""
        return self.sampling.steps or max(1, -(-self._sampler.pixels // (self.sampling.chip**2 * self.sampling.batch)))

    def batch(self, step: int) -> ChipBatch:
        """The batch of a step, counted from 0 on through all epochs. It has no pixels of validation and test, and no labels of
        pixels in the buffer. Raises what swath.imagery.reading.mosaic.read_mosaic raises."""
        chips = self.chip_windows(step)
        batch = self._empty(len(chips), chips[0][1])
        for at, (image, window) in enumerate(chips):
            labels, splits = self._tiles.read(image, window, batch.pixels[at])
            labels[splits != TRAIN] = IGNORE_INDEX
            _fill(batch, at, labels, _not_held_out(splits))
        return batch

    def chip_windows(self, step: int) -> tuple[tuple[int, Window], ...]:
        """Image number and window of each chip of a batch. A window may reach beyond an image that is smaller than a chip."""
        random = np.random.default_rng([self.seed, step])
        return tuple(self._draw(random) for _ in range(self.sampling.batch))

    def split_windows(self, split: int, edge: int = TILE_EDGE, halo: int = 0) -> tuple[SplitWindow, ...]:
        """Windows of at most `edge` pixels that together have each labelled pixel of a split once, with `halo` pixels around
        them."""
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

    def window_batch(self, window: SplitWindow) -> ChipBatch:
        """A window as a batch of one: the labels of its split inside the window, and all valid pixels, as predict reads them; in
        windows of the training split without those of validation and test."""
        batch = self._empty(1, window.source)
        labels, splits = self._tiles.read(window.image, window.source, batch.pixels[0])
        counted = np.zeros(labels.shape, bool)
        counted[window.window.within(window.source)] = True
        counted &= splits == window.split
        labels[~counted] = IGNORE_INDEX
        _fill(batch, 0, labels, _not_held_out(splits) if window.split == TRAIN else splits != INVALID)
        return batch

    def split_batches(self, split: int, edge: int = TILE_EDGE, halo: int = 0) -> Iterator[ChipBatch]:
        """All of `split_windows`, one at a time."""
        return (self.window_batch(each) for each in self.split_windows(split, edge, halo))

    def _draw(self, random: np.random.Generator) -> tuple[int, Window]:
        edge = self.sampling.chip
        best: tuple[float, int, Window] | None = None
        for _ in range(MAX_CHIP_DRAWS):
            target = self._sampler.draw(random)
            row, col = self._pixel(target.image, target.cell, target.label, target.rank)
            window = centred_window(row, col, edge, self.plan.images[target.image].scenes.image)
            labels = self._tiles.training_labels(target.image, window)
            share = np.count_nonzero(labels != IGNORE_INDEX) / edge**2
            if best is None or share > best[0]:
                best = (share, target.image, window)
            if share >= self.sampling.min_valid:
                break
        if best is None:
            raise ValueError("MAX_DRAWS has to be at least 1")
        return best[1:]

    def _empty(self, count: int, window: Window) -> ChipBatch:
        bands = len(self.plan.images[0].scenes.bands)
        return ChipBatch(
            np.zeros((count, bands, *window.shape), np.float32),
            np.empty((count, *window.shape), np.uint8),
            np.empty((count, *window.shape), bool),
        )

    def _pixel(self, image: int, cell: Window, label: int | None, rank: float) -> tuple[int, int]:
        """Row and column of the drawn pixel of a cell."""
        inside = cell.intersection(self.plan.surveys[image].window) or cell
        labels = self._tiles.training_labels(image, inside)
        candidates = np.flatnonzero(labels != IGNORE_INDEX if label is None else labels == label)
        row, col = divmod(int(candidates[int(rank * len(candidates))]), inside.width)
        return inside.row + row, inside.col + col


def _not_held_out(splits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Valid pixels that are neither of validation nor of test."""
    usable: NDArray[np.bool_] = (splits != INVALID) & (splits != VALIDATION) & (splits != TEST)
    return usable


def _fill(batch: ChipBatch, at: int, labels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> None:
    """Put labels and validity of one window into a batch that has its pixels, and set pixels that are not valid to 0."""
    batch.labels[at], batch.valid[at] = labels, valid
    if not valid.all():
        np.copyto(batch.pixels[at], 0, where=~valid)
