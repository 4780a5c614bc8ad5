"""Scoring of regions: a model or a map against labels, on the pixels that the map has; and the sums over all regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.evaluation.calibration import Calibration
from swath.evaluation.confusion import Counts, count_pairs
from swath.evaluation.error_map import encode_errors
from swath.evaluation.scoring_input import ScoringInput
from swath.evaluation.trained_ground import trained_pixels
from swath.geo import Region, Window
from swath.graph.call_context import progress
from swath.imagery.labels.labels import read_counted_labels
from swath.imagery.labels.unknown_values import ValueCounts, count_values, merge_counts
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.cog.encoded_part import PartBuilder
from swath.maps.layout import MapLayout
from swath.maps.region import map_strips
from swath.maps.region_result import RegionResult
from swath.spec.fields.labels import IGNORE_INDEX

if TYPE_CHECKING:
    from swath.geo import Regions
    from swath.models.contract import ModelInfo

_ROWS = 512
"""Rows of a map that are compared at once, at least."""


@dataclass(frozen=True)
class RegionScores(RegionResult):
    """The result of one call; its encoded part is of the error map."""

    blocks: tuple[tuple[int, int], ...] = ()
    """Row and column of each bootstrap block with scored pixels here."""
    counts: Counts | None = None
    """Confusion matrix of each block (blocks, classes, classes)."""
    calibration: Calibration | None = None
    unpredicted: int = 0
    """Pixels that have a label and no prediction."""
    trained: int = 0
    """Scored pixels on which the model was trained."""
    same_ground: int = 0
    """Scored pixels whose ground was trained on in another image, such as of another date."""
    unknown_labels: ValueCounts = ()
    """Pixels of the labels whose value is no class."""
    unknown_map: ValueCounts = ()
    """Labelled pixels where the map has a value that is no class."""


def score_model(
    region: Region, scoring_input: ScoringInput, model: ModelInfo, errors: MapLayout, layout: MapLayout
) -> RegionScores:
    """Score one region of a model's predictions, the pixels that predict would publish. `errors` is the layout of the error map,
    `layout` that of the prediction, with probabilities of all classes for the calibration."""
    image = scoring_input.images[region.grid]

    def predictions() -> Iterator[tuple[Window, NDArray[Any], NDArray[Any] | None]]:
        window, row = region.block.window, region.block.window.row
        for strip in map_strips(window, image.scenes, model, None, layout):
            height = strip[0].shape[1]
            probabilities = strip[1] if layout.layers is not None else None
            yield Window(row, window.col, height, window.width), strip[0][0], probabilities
            row += height

    return _score(region, scoring_input, errors, predictions(), model.contract.nodata)


def score_map(region: Region, scoring_input: ScoringInput, errors: MapLayout) -> RegionScores:
    """Score one region of a finished map. `errors` is the layout of the error map."""
    image = scoring_input.images[region.grid]

    def predictions() -> Iterator[tuple[Window, NDArray[Any], None]]:
        window = region.block.window
        height = max(errors.encoding.blocksize, _ROWS)
        for row in range(window.row, window.stop_row, height):
            strip = Window(row, window.col, min(height, window.stop_row - row), window.width)
            pixels, valid = read_mosaic(image.scenes, strip)
            yield strip, np.where(valid, pixels[0].astype(np.int64), -1), None

    return _score(region, scoring_input, errors, predictions(), -1)


def _score(
    region: Region,
    scoring_input: ScoringInput,
    errors: MapLayout,
    predictions: Iterator[tuple[Window, NDArray[Any], NDArray[Any] | None]],
    nodata: float,
) -> RegionScores:
    """Compare strips of predictions (window, values, probabilities) with their labels."""
    classes, image = len(scoring_input.classes), scoring_input.images[region.grid]
    split, only = scoring_input.split, scoring_input.only
    builder = PartBuilder(region.block.index, region.block.window, errors.encoding, errors.levels[region.sheet])
    matrices: dict[tuple[int, int], Counts] = {}
    calibration: Calibration | None = None
    unpredicted = trained = same_ground = 0
    unknown_labels: list[ValueCounts] = []
    unknown_map: list[ValueCounts] = []
    seen = scoring_input.trained[region.grid] if scoring_input.trained else ()
    for window, values, probabilities in predictions:
        labels, unknown = read_counted_labels(image.labels, window)
        unknown_labels.append(unknown)
        if split is not None and only is not None:
            labels[split.of_scenes(image.scenes, window) != only] = IGNORE_INDEX
        predicted = np.full(window.shape, IGNORE_INDEX, np.uint8)
        for value, number in scoring_input.numbers:
            if value != nodata:
                predicted[values == value] = number
        scored = (labels != IGNORE_INDEX) & (predicted != IGNORE_INDEX)
        unpredicted += int(((labels != IGNORE_INDEX) & ~scored).sum())
        no_class = (labels != IGNORE_INDEX) & ~scored & (values != nodata)
        if no_class.any():
            unknown_map.append(count_values(values[no_class]))
        if seen:
            same, other = trained_pixels(image.scenes, seen, split, window)
            trained += int((same & scored).sum())
            same_ground += int((other & scored).sum())
        builder.add(encode_errors(labels, predicted, classes)[None])
        for block, part in _blocks(window, scoring_input.blocks[region.grid]):
            counts = count_pairs(labels[part], predicted[part], classes)
            if counts.any():
                matrices[block] = matrices.get(block, np.zeros_like(counts)) + counts
        if probabilities is not None:
            bins = Calibration.of(np.where(scored, labels, IGNORE_INDEX), probabilities)
            calibration = bins if calibration is None else calibration + bins
        progress(pixels=labels.size)
    blocks = tuple(sorted(matrices))
    counts = np.stack([matrices[block] for block in blocks]) if blocks else np.zeros((0, classes, classes), np.int64)
    return RegionScores(
        region.sheet, builder.part(), None, blocks, counts, calibration, unpredicted, trained, same_ground,
        merge_counts(unknown_labels), merge_counts(unknown_map),
    )  # fmt: skip


def _blocks(window: Window, edge: int) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
    """The bootstrap blocks that intersect a window, with the slices of their part of it."""
    for row in range(window.row // edge, -(-window.stop_row // edge)):
        rows = slice(max(row * edge - window.row, 0), min((row + 1) * edge - window.row, window.height))
        for col in range(window.col // edge, -(-window.stop_col // edge)):
            cols = slice(max(col * edge - window.col, 0), min((col + 1) * edge - window.col, window.width))
            yield (row, col), (rows, cols)


@dataclass(frozen=True)
class ScoreTotals:
    """Sums over all regions."""

    blocks: tuple[tuple[int, int, int], ...]
    """Image, row and column of each block that has scored pixels."""
    counts: Counts
    """Their confusion matrices (blocks, classes, classes)."""
    calibration: Calibration | None
    unpredicted: int
    """Pixels that have a label and no prediction."""
    trained: int
    """Scored pixels on which the model was trained."""
    same_ground: int
    """Scored pixels whose ground was trained on in another image."""
    unknown_labels: tuple[tuple[int, ValueCounts], ...] = ()
    """(image, pixels of its labels whose value is no class)."""
    unknown_map: ValueCounts = ()
    """Labelled pixels where the map has a value that is no class."""

    @property
    def matrix(self) -> Counts:
        """The confusion matrix of the whole area (classes, classes), each pixel once."""
        total: Counts = self.counts.sum(axis=0)
        return total


def sum_scores(scored: Iterable[RegionScores], regions: Regions, classes: int) -> ScoreTotals:
    """Sum the regions' scores: the matrices of a block that lies in several regions are added, so each pixel counts once."""
    matrices: dict[tuple[int, int, int], Counts] = {}
    calibration: Calibration | None = None
    sums: Counter[str] = Counter()
    unknown: dict[int, ValueCounts] = {}
    unknown_map: ValueCounts = ()
    for each in scored:
        image = regions.grids[each.sheet]
        for (row, col), counts in zip(each.blocks, each.counts if each.counts is not None else (), strict=True):
            block = (image, row, col)
            matrices[block] = matrices[block] + counts if block in matrices else counts
        if each.calibration is not None:
            calibration = each.calibration if calibration is None else calibration + each.calibration
        if each.unknown_labels:
            unknown[image] = merge_counts([unknown.get(image, ()), each.unknown_labels])
        unknown_map = merge_counts([unknown_map, each.unknown_map])
        sums.update(unpredicted=each.unpredicted, trained=each.trained, same_ground=each.same_ground)
    blocks = tuple(sorted(matrices))
    counts = np.stack([matrices[block] for block in blocks]) if blocks else np.zeros((0, classes, classes), np.int64)
    return ScoreTotals(
        blocks,
        counts,
        calibration,
        sums["unpredicted"],
        sums["trained"],
        sums["same_ground"],
        tuple(sorted(unknown.items())),
        unknown_map,
    )
