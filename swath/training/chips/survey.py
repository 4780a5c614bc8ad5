"""One look at all labelled imagery before a training: how many pixels of each class lie where, and what the bands are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.labels.labels import read_labels
from swath.imagery.reading.mosaic import read_mosaic
from swath.spec.fields.labels import IGNORE_INDEX
from swath.training.chips.band_statistics import BandMoments, merge_moments
from swath.training.split.split import BUFFER, SPLIT_NAMES, TEST, TRAIN, VALIDATION, Split

if TYPE_CHECKING:
    from swath.imagery.labels.labelled_image import LabelledImage

CELL_EDGE = 64
"""Pixels are counted in squares of so many pixels: an index of where classes are that is a thousandth of the image."""
SURVEY_EDGE = 1024
"""Edge in pixels of what one call surveys."""
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class Survey:
    """What is in a window of an image."""

    window: Window
    """Begins at multiples of CELL; ends at one, or at the image's edge."""
    cells: NDArray[np.uint16]
    """Pixels that are valid and have a label, for each cell, split and class: (rows, columns, 3, classes)."""
    pixels: NDArray[np.int64]
    """Valid pixels of training, validation, test, and of none of them, with and without labels: (4,)."""
    moments: BandMoments
    """Of all valid training pixels."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled pixels of each split and class, (3, classes)."""
        counts: NDArray[np.int64] = self.cells.sum(axis=(0, 1), dtype=np.int64)
        return counts


@dataclass(frozen=True)
class ChipPlan:
    """All that chips are drawn from."""

    images: tuple[LabelledImage, ...]
    split: Split
    classes: tuple[str, ...]
    reflectance: bool
    """Whether pixels are physical values, or the files' numbers."""
    surveys: tuple[Survey, ...]
    """One for each image."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled pixels of each split and class, (3, classes)."""
        counts: NDArray[np.int64] = sum(
            (each.counts for each in self.surveys), np.zeros((3, len(self.classes)), np.int64)
        )
        return counts

    @property
    def moments(self) -> BandMoments:
        """Of the training pixels of all images."""
        return merge_moments(each.moments for each in self.surveys)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know."""
        found = [
            f"{SPLIT_NAMES[split]} has no pixel of the class {name}"
            for split in SPLITS
            for name, count in zip(self.classes, self.counts[split], strict=True)
            if not count and self.counts[split].any()
        ]
        return (*dict.fromkeys(note for image in self.images for note in image.notes), *found)


def survey_windows(image: LabelledImage) -> tuple[Window, ...]:
    """The windows that together hold every labelled pixel: each is surveyed by one call."""
    inside = output_window(image.scenes.image, image.labels.area)
    row, col = inside.row // CELL_EDGE * CELL_EDGE, inside.col // CELL_EDGE * CELL_EDGE
    height, width = image.scenes.image.shape
    stop_row, stop_col = (
        min(-(-inside.stop_row // CELL_EDGE) * CELL_EDGE, height),
        min(-(-inside.stop_col // CELL_EDGE) * CELL_EDGE, width),
    )
    return tuple(
        Window(top, left, min(SURVEY_EDGE, stop_row - top), min(SURVEY_EDGE, stop_col - left))
        for top in range(row, stop_row, SURVEY_EDGE)
        for left in range(col, stop_col, SURVEY_EDGE)
    )


def survey(image: LabelledImage, window: Window, split: Split, classes: int, *, reflectance: bool = False) -> Survey:
    """Count the pixels of a window (of `survey_windows`). Raises what swath.imagery.reading.mosaic.read_mosaic raises."""
    pixels, valid = read_mosaic(image.scenes, window, reflectance=reflectance)
    labels = read_labels(image.labels, window)
    places = split.of_scenes(image.scenes, window)
    rows, cols = -(-window.height // CELL_EDGE), -(-window.width // CELL_EDGE)
    counted = valid & (labels != IGNORE_INDEX) & (places != BUFFER)
    row, col = np.nonzero(counted)
    at = ((row // CELL_EDGE * cols + col // CELL_EDGE) * 3 + places[counted]) * classes + labels[counted]
    cells = np.bincount(at, minlength=rows * cols * 3 * classes).reshape(rows, cols, 3, classes).astype(np.uint16)
    each = np.array([(valid & (places == number)).sum() for number in (*SPLITS, BUFFER)], np.int64)
    return Survey(window, cells, each, BandMoments.of(pixels[:, valid & (places == TRAIN)]))


def merge_surveys(surveys: Sequence[Survey]) -> Survey:
    """All windows of one image as one."""
    row, col = min(each.window.row for each in surveys), min(each.window.col for each in surveys)
    stop_row, stop_col = max(each.window.stop_row for each in surveys), max(each.window.stop_col for each in surveys)
    whole = Window(row, col, stop_row - row, stop_col - col)
    cells = np.zeros(
        (-(-whole.height // CELL_EDGE), -(-whole.width // CELL_EDGE), *surveys[0].cells.shape[2:]), np.uint16
    )
    for each in surveys:
        top, left = (each.window.row - row) // CELL_EDGE, (each.window.col - col) // CELL_EDGE
        cells[top : top + each.cells.shape[0], left : left + each.cells.shape[1]] = each.cells
    pixels: NDArray[np.int64] = np.sum([each.pixels for each in surveys], axis=0)
    return Survey(whole, cells, pixels, merge_moments(each.moments for each in surveys))


def plan_chips(
    images: tuple[LabelledImage, ...],
    surveys: Sequence[Survey],
    split: Split,
    classes: tuple[str, ...],
    *,
    reflectance: bool = False,
) -> ChipPlan:
    """Put the surveys of all windows of all images (in the order of `survey_windows`) together, and check that there is something
    to train on and something to compare by. Raises ImageryError."""
    merged, start = [], 0
    for image in images:
        stop = start + len(survey_windows(image))
        merged.append(merge_surveys(surveys[start:stop]))
        start = stop
    found = ChipPlan(images, split, classes, reflectance, tuple(merged))
    for number in (TRAIN, VALIDATION):
        if not found.counts[number].any():
            spare = sum(int(each.cells.sum()) for each in merged)
            raise ImageryError(
                f"split: no labelled pixel is in {SPLIT_NAMES[number]} ({spare} are in all splits together)",
                remedy=_other(split),
            )
    return found


def _other(split: Split) -> str:
    return {
        "blocks": "Take smaller blocks (split.size_m) with a smaller split.buffer_m, or another seed: there are too few blocks.",
        "area": "Check split.validation: with its buffer it must leave labels on both sides.",
        "scene": "Name other scenes in split.validation: some with labels must be there, and some must be left.",
        "columns": "Change split.validation: labels must be in the right part of an image, and in the left.",
    }[split.spec.by]
