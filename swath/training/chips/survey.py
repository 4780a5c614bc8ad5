"""Survey: class counts by cell and split, and band statistics, of all labelled imagery, gathered once before a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.geo import Window
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.labels.labels import read_counted_labels
from swath.imagery.labels.unknown_values import ValueCounts, merge_counts
from swath.imagery.reading.mosaic import read_mosaic
from swath.spec.fields.labels import IGNORE_INDEX
from swath.training.chips.band_statistics import BandMoments, merge_moments
from swath.training.split.split import BUFFER, TEST, TRAIN, VALIDATION, Split

if TYPE_CHECKING:
    from swath.imagery.labels.labelled_image import LabelledImage

CELL_EDGE = 64
"""Edge in pixels of the cells in which classes are counted: an index of a thousandth of the image's size."""
SURVEY_EDGE = 1024
"""Edge in pixels of the window that one call surveys."""
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class Survey:
    """Counts and statistics of a window of an image."""

    window: Window
    """Begins at multiples of CELL_EDGE; ends at one, or at the image's edge."""
    cells: NDArray[np.uint16]
    """Valid labelled pixels of each cell, split and class: (rows, columns, 3, classes)."""
    pixels: NDArray[np.int64]
    """Valid pixels, labelled or not, of training, validation, test and none of them: (4,)."""
    moments: BandMoments
    """Of all valid training pixels."""
    unknown_labels: ValueCounts = ()
    """Pixels of the labels whose value is no class."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled pixels of each split and class, (3, classes)."""
        counts: NDArray[np.int64] = self.cells.sum(axis=(0, 1), dtype=np.int64)
        return counts


def survey_windows(image: LabelledImage) -> tuple[Window, ...]:
    """Windows that together contain every labelled pixel; each is surveyed by one call."""
    inside = output_window(image.scenes.image, image.labels.area)
    row, col = inside.row // CELL_EDGE * CELL_EDGE, inside.col // CELL_EDGE * CELL_EDGE
    height, width = image.scenes.image.shape
    stop_row = min(-(-inside.stop_row // CELL_EDGE) * CELL_EDGE, height)
    stop_col = min(-(-inside.stop_col // CELL_EDGE) * CELL_EDGE, width)
    return tuple(
        Window(top, left, min(SURVEY_EDGE, stop_row - top), min(SURVEY_EDGE, stop_col - left))
        for top in range(row, stop_row, SURVEY_EDGE)
        for left in range(col, stop_col, SURVEY_EDGE)
    )


def survey(image: LabelledImage, window: Window, split: Split, classes: int, *, reflectance: bool = False) -> Survey:
    """Survey a window (of `survey_windows`). Raises what swath.imagery.reading.mosaic.read_mosaic raises."""
    pixels, valid = read_mosaic(image.scenes, window, reflectance=reflectance)
    labels, unknown = read_counted_labels(image.labels, window)
    splits = split.of_scenes(image.scenes, window)
    rows, cols = -(-window.height // CELL_EDGE), -(-window.width // CELL_EDGE)
    counted = valid & (labels != IGNORE_INDEX) & (splits != BUFFER)
    row, col = np.nonzero(counted)
    at = ((row // CELL_EDGE * cols + col // CELL_EDGE) * 3 + splits[counted]) * classes + labels[counted]
    cells = np.bincount(at, minlength=rows * cols * 3 * classes).reshape(rows, cols, 3, classes).astype(np.uint16)
    pixel_counts = np.array([(valid & (splits == number)).sum() for number in (*SPLITS, BUFFER)], np.int64)
    return Survey(window, cells, pixel_counts, BandMoments.of(pixels[:, valid & (splits == TRAIN)]), unknown)


def merge_surveys(surveys: Sequence[Survey]) -> Survey:
    """The surveys of all windows of one image as one."""
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
    unknown = merge_counts(each.unknown_labels for each in surveys)
    return Survey(whole, cells, pixels, merge_moments(each.moments for each in surveys), unknown)
