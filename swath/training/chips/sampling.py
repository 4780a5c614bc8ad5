"""Where the chips of a training are taken: drawn by class or evenly, from counts of where the classes are."""

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
    """A pixel that a chip is to be centred on: one of a cell, of a class."""

    image: int
    cell: Window
    label: int | None
    """Its class; any when None."""
    rank: float
    """Which of the pixels in the cell that fit, 0..1 in row-major order."""


class PixelSampler:
    """Cells that have training pixels, with how many of each class; what is drawn depends on the generator alone."""

    def __init__(self, surveys: Sequence[Survey], *, balanced: bool) -> None:
        found: list[NDArray[np.int64]] = []
        counts: list[NDArray[np.int64]] = []
        for number, survey in enumerate(surveys):
            cells = survey.cells[:, :, TRAIN].astype(np.int64)
            rows, cols = np.nonzero(cells.any(axis=-1))
            top, left = survey.window.row + rows * CELL_EDGE, survey.window.col + cols * CELL_EDGE
            found.append(np.stack([np.full(len(rows), number), top, left], axis=-1))
            counts.append(cells[rows, cols])
        self._cells = np.concatenate(found)
        each = np.concatenate(counts)
        self.labels: tuple[int | None, ...] = (None,)
        """Classes that chips are centred on, in equal shares."""
        if balanced:
            present = np.flatnonzero(each.sum(axis=0))
            self.labels, each = tuple(present.tolist()), each[:, present]
        else:
            each = each.sum(axis=1, keepdims=True)
        self._sums = np.cumsum(each, axis=0)
        self.pixels = int(self._sums[-1].sum()) if len(each) else 0
        """Labelled training pixels."""

    def draw(self, chance: np.random.Generator) -> ChipTarget:
        """A pixel: first the class, then any of its pixels, each as likely as the other."""
        kind = int(chance.integers(len(self.labels)))
        sums = self._sums[:, kind]
        pixel = int(chance.integers(sums[-1]))
        at = int(np.searchsorted(sums, pixel, side="right"))
        image, row, col = self._cells[at].tolist()
        before = int(sums[at - 1]) if at else 0
        rank = (pixel - before) / (int(sums[at]) - before)
        return ChipTarget(image, Window(row, col, CELL_EDGE, CELL_EDGE), self.labels[kind], rank)


def centred_window(row: int, col: int, edge: int, image: GeoBox) -> Window:
    """The square around a pixel, moved inwards where it would reach beyond the image; one that is larger than the image
    begins at its corner."""
    height, width = image.shape
    top, left = row - edge // 2, col - edge // 2
    return Window(max(0, min(top, height - edge)), max(0, min(left, width - edge)), edge, edge)
