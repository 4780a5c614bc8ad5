"""PixelSampler: draws the pixels that chips are centred on, by class or evenly, from the counts of a survey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window
from swath.training.chips.survey import CELL_EDGE
from swath.training.split.blocks import TRAIN

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.training.chips.survey import Survey


@dataclass(frozen=True)
class ChipTarget:
    """The pixel that a chip is centred on: one of a cell, of a class."""

    image: int
    cell: Window
    label: int | None
    """Its class; any when None."""
    rank: float
    """Which of the cell's pixels of that class, 0 to 1 in row-major order."""


class PixelSampler:
    """Cells that have training pixels, with the number of pixels of each class. Draws depend on the generator alone."""

    def __init__(self, surveys: Sequence[Survey], *, balanced: bool) -> None:
        """`balanced`: every class is drawn equally often; otherwise every labelled pixel."""
        positions: list[NDArray[np.int64]] = []
        counts: list[NDArray[np.int64]] = []
        for number, survey in enumerate(surveys):
            cells = survey.cells[:, :, TRAIN].astype(np.int64)
            rows, cols = np.nonzero(cells.any(axis=-1))
            top, left = survey.window.row + rows * CELL_EDGE, survey.window.col + cols * CELL_EDGE
            positions.append(np.stack([np.full(len(rows), number), top, left], axis=-1))
            counts.append(cells[rows, cols])
        self._cells = np.concatenate(positions)
        by_class = np.concatenate(counts)
        self.labels: tuple[int | None, ...] = (None,)
        """Classes that are drawn equally often; None for any class."""
        if balanced:
            present = np.flatnonzero(by_class.sum(axis=0))
            self.labels, by_class = tuple(present.tolist()), by_class[:, present]
        else:
            by_class = by_class.sum(axis=1, keepdims=True)
        self._sums = np.cumsum(by_class, axis=0)
        self.pixels = int(self._sums[-1].sum()) if len(by_class) else 0
        """Labelled training pixels."""

    def draw(self, random: np.random.Generator) -> ChipTarget:
        """A pixel: first its class, then any of its pixels with equal probability."""
        column = int(random.integers(len(self.labels)))
        sums = self._sums[:, column]
        pixel = int(random.integers(sums[-1]))
        at = int(np.searchsorted(sums, pixel, side="right"))
        image, row, col = self._cells[at].tolist()
        before = int(sums[at - 1]) if at else 0
        rank = (pixel - before) / (int(sums[at]) - before)
        return ChipTarget(image, Window(row, col, CELL_EDGE, CELL_EDGE), self.labels[column], rank)


def centred_window(row: int, col: int, edge: int, image: GeoBox) -> Window:
    """The square of `edge` pixels around a pixel, moved inwards where it would reach beyond the image; a square that is larger than
    the image begins at its first row or column."""
    height, width = image.shape
    top, left = row - edge // 2, col - edge // 2
    return Window(max(0, min(top, height - edge)), max(0, min(left, width - edge)), edge, edge)
