"""Scoring: a model or a map against labels, region by region, on the pixels that the map has."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from swath.errors import ImageryError, UsageError
from swath.evaluation.calibration import Calibration
from swath.evaluation.confusion import Counts, count_pairs
from swath.geo import Region, Window
from swath.graph.call_context import progress
from swath.imagery.geometry.footprint import grid_footprint
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.geometry.pixel_area import PixelArea
from swath.imagery.labels.labelled_image import LabelledImage, find_labelled_images
from swath.imagery.labels.labels import find_labels, read_labels
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.class_map import open_class_map
from swath.maps.cog.encoded_part import PartBuilder
from swath.maps.layout import MapLayout
from swath.maps.legend import Legend, MapClass
from swath.maps.region import map_strips
from swath.maps.region_result import RegionResult
from swath.spec.fields.labels import IGNORE_INDEX
from swath.spec.fields.split import SceneSplit
from swath.training.split.split import SPLIT_NAMES, TRAIN, Split

if TYPE_CHECKING:
    from swath.geo import Regions
    from swath.models.contract import Contract, ModelInfo
    from swath.spec.fields.area import Area
    from swath.spec.fields.labels import LabelClass, LabelledData, Labels

log = logging.getLogger(__name__)

NODATA = 255
"""Of the map of errors: where there is no label, or no prediction."""
MAX_CLASSES = 15
"""Classes: the values label * n + prediction fit into a byte beside nodata."""
BOOTSTRAP_BLOCKS = 64
"""About so many blocks an area is cut into when nobody says how large they are."""
_ROWS = 512
"""Rows of a map that are compared at once; a multiple of every block size below."""


@dataclass(frozen=True)
class ScoringInput:
    """What is scored: labels, the images that they lie on, and what the predictions' values mean. Holds no pixels."""

    images: tuple[LabelledImage, ...]
    """Each on a grid of its own. Of a map: its files, to be read as the predictions."""
    classes: Legend
    """Values are positions: the numbers of labels."""
    numbers: tuple[tuple[int, int], ...]
    """Value of a prediction -> number of its class."""
    blocks: tuple[int, ...]
    """Of each image, the edge of the blocks that the bootstrap draws, in pixels."""
    area: Area | None = None
    split: Split | None = None
    """That of the model's training, where it is known."""
    only: int | None = None
    """The split that is scored; None: everything that has a label."""
    trained: tuple[bool, ...] = ()
    """Of each image, whether the model was trained on this ground."""
    notes: tuple[str, ...] = ()

    @property
    def grids(self) -> tuple[Any, ...]:
        """The scenes of each image, as a layout wants them."""
        return tuple(image.scenes for image in self.images)


@dataclass(frozen=True)
class RegionScores(RegionResult):
    """What one call found in a region; its part is of the map of errors."""

    blocks: tuple[tuple[int, int], ...] = ()
    """Row and column of each block that has labels here."""
    counts: Counts | None = None
    """The confusion matrix of each (blocks, classes, classes)."""
    calibration: Calibration | None = None
    unpredicted: int = 0
    """Pixels that have a label and no prediction."""
    trained: int = 0
    """Scored pixels on which the model was trained."""


def find_model_scoring(
    data: LabelledData,
    contract: Contract,
    area: Area | None,
    only: Literal["validation", "test"] | None,
    block_m: float | None,
) -> ScoringInput:
    """What a model is scored on. Raises what finding imagery and labels raises; UsageError when the contract does not tell
    the split that is asked for, or the model has no classes."""
    if contract.output != "classes":
        raise UsageError(
            f"{contract.name} gives numbers, not classes: there is nothing to score",
            remedy="Evaluate a model of classes.",
        )
    classes = _legend((each.name, each.color) for each in contract.classes)
    names = tuple(each.name for each in classes)
    numbers = tuple((each.value, position) for position, each in enumerate(contract.classes))
    told = (contract.mlm or {}).get("swath:training", {})
    split = Split.from_document(told["split"]) if told.get("split") else None
    apart = (
        only is not None and split is not None and isinstance(split.spec, SceneSplit)
    )  # each scene has a split of its own
    images = find_labelled_images(_within(data, area), contract.bands, names, mosaic=not apart)
    if only is not None and split is None:
        raise UsageError(
            f"split: {contract.name} does not say how its training was split, so its {only} places are not known",
            remedy="Leave split out to score everything that has a label, or give the area.",
        )
    trained = tuple(_trained_on(image, told.get("scenes", ())) for image in images)
    return _subject(
        images, classes, numbers, area, block_m, split, None if only is None else SPLIT_NAMES.index(only), trained
    )


def find_map_scoring(
    path: str, labels: Labels, classes: tuple[LabelClass, ...], area: Area | None, block_m: float | None
) -> ScoringInput:
    """What a finished map is scored on: its own pixels. Raises what opening the map and finding labels raises."""
    found = open_class_map(path, classes)
    legend = _legend((each.name, each.color) for each in found.classes)
    names = tuple(each.name for each in legend)
    image = LabelledImage(found.scenes, find_labels(labels, found.scenes, names, area))
    numbers = tuple((each.value, position) for position, each in enumerate(found.classes))
    return _subject((image,), legend, numbers, area, block_m)


def _within(data: LabelledData, area: Area | None) -> LabelledData:
    """An area for all, where an entry has none of its own."""
    return tuple(
        each if each.area is not None or area is None else each.model_copy(update={"area": area}) for each in data
    )


def _legend(classes: Iterable[tuple[str, tuple[int, int, int]]]) -> Legend:
    return tuple(MapClass(number, name, color) for number, (name, color) in enumerate(classes))


def _subject(
    images: tuple[LabelledImage, ...],
    classes: Legend,
    numbers: tuple[tuple[int, int], ...],
    area: Area | None,
    block_m: float | None,
    split: Split | None = None,
    only: int | None = None,
    trained: tuple[bool, ...] = (),
) -> ScoringInput:
    if len(classes) > MAX_CLASSES:
        raise ImageryError(
            f"{len(classes)} classes: a map of errors holds the pairs of {MAX_CLASSES}", remedy="Merge classes before."
        )
    blocks = tuple(_block_edge(image, block_m) for image in images)
    notes = tuple(dict.fromkeys(note for image in images for note in image.notes))
    return ScoringInput(images, classes, numbers, blocks, area, split, only, trained, notes)


def _block_edge(image: LabelledImage, block_m: float | None) -> int:
    """Edge of a bootstrap block in pixels."""
    ground = PixelArea.of(image.scenes.image)
    if block_m is None:
        window = output_window(image.scenes.image, image.labels.area)
        return max(16, round(math.sqrt(window.height * window.width / BOOTSTRAP_BLOCKS)))
    if ground is None:
        raise ImageryError(
            "block_m: the imagery has no coordinate reference system, so metres mean nothing on it",
            remedy="Leave block_m out, or georeference the imagery.",
        )
    return max(1, round(block_m / math.sqrt(ground.width_m * ground.height_m)))


def _trained_on(image: LabelledImage, scenes: Iterable[dict[str, Any]]) -> bool:
    """Whether one of the training's scenes has this id, or shows some of this ground."""
    from shapely.geometry import box

    own = {scene.id for scene in image.scenes.scenes}
    placed = image.scenes.image.crs is not None
    ground = grid_footprint(image.scenes.image) if placed else None
    for scene in scenes:
        if scene.get("id") in own:
            return True
        if ground is not None and scene.get("bbox") and ground.intersects(box(*scene["bbox"])):
            return True
    return False


def score_model(
    region: Region, subject: ScoringInput, model: ModelInfo, errors: MapLayout, form: MapLayout
) -> RegionScores:
    """One region of what a model says, the very pixels that predict would publish. `form` is that of the prediction, with
    probabilities of all classes when they are to be looked at."""
    image = subject.images[region.grid]

    def predictions() -> Iterator[tuple[Window, NDArray[Any], NDArray[Any] | None]]:
        window, row = region.block.window, region.block.window.row
        for made in map_strips(window, image.scenes, model, None, form):
            height = made[0].shape[1]
            chances = made[1] if form.layers is not None else None
            yield Window(row, window.col, height, window.width), made[0][0], chances
            row += height

    return _score(region, subject, errors, predictions(), model.contract.nodata)


def score_map(region: Region, subject: ScoringInput, errors: MapLayout) -> RegionScores:
    """One region of a map that was made before."""
    image = subject.images[region.grid]

    def predictions() -> Iterator[tuple[Window, NDArray[Any], None]]:
        window = region.block.window
        height = max(errors.encoding.blocksize, _ROWS)
        for row in range(window.row, window.stop_row, height):
            strip = Window(row, window.col, min(height, window.stop_row - row), window.width)
            pixels, valid = read_mosaic(image.scenes, strip)
            yield strip, np.where(valid, pixels[0].astype(np.int64), -1), None

    return _score(region, subject, errors, predictions(), -1)


def _score(
    region: Region,
    subject: ScoringInput,
    errors: MapLayout,
    predictions: Iterator[tuple[Window, NDArray[Any], NDArray[Any] | None]],
    nodata: float,
) -> RegionScores:
    classes, image = len(subject.classes), subject.images[region.grid]
    builder = PartBuilder(region.block.index, region.block.window, errors.encoding, errors.levels[region.sheet])
    matrices: dict[tuple[int, int], Counts] = {}
    calibration: Calibration | None = None
    unpredicted = trained = 0
    known_ground = bool(subject.trained and subject.trained[region.grid] and subject.split is not None)
    for window, values, chances in predictions:
        labels = read_labels(image.labels, window)
        places = None
        if subject.split is not None and (subject.only is not None or known_ground):
            places = subject.split.of_scenes(image.scenes, window)
            if subject.only is not None:
                labels[places != subject.only] = IGNORE_INDEX
        predicted = np.full(window.shape, IGNORE_INDEX, np.uint8)
        for value, number in subject.numbers:
            if value != nodata:
                predicted[values == value] = number
        both = (labels != IGNORE_INDEX) & (predicted != IGNORE_INDEX)
        unpredicted += int(((labels != IGNORE_INDEX) & ~both).sum())
        if known_ground and places is not None:
            trained += int(((places == TRAIN) & both).sum())
        shown = np.full(window.shape, NODATA, np.uint8)
        shown[both] = labels[both] * np.uint8(classes) + predicted[both]
        builder.add(shown[None])
        for key, part in _blocks(window, subject.blocks[region.grid]):
            counts = count_pairs(labels[part], predicted[part], classes)
            if counts.any():
                matrices[key] = matrices.get(key, np.zeros_like(counts)) + counts
        if chances is not None:
            found = Calibration.of(np.where(both, labels, IGNORE_INDEX), chances)
            calibration = found if calibration is None else calibration + found
        progress(pixels=labels.size)
    keys = tuple(sorted(matrices))
    counts = np.stack([matrices[key] for key in keys]) if keys else np.zeros((0, classes, classes), np.int64)
    return RegionScores(region.sheet, builder.part(), None, keys, counts, calibration, unpredicted, trained)


def _blocks(window: Window, edge: int) -> Iterator[tuple[tuple[int, int], tuple[slice, slice]]]:
    """The bootstrap's blocks that a window touches, with their part of it."""
    for row in range(window.row // edge, -(-window.stop_row // edge)):
        rows = slice(max(row * edge - window.row, 0), min((row + 1) * edge - window.row, window.height))
        for col in range(window.col // edge, -(-window.stop_col // edge)):
            cols = slice(max(col * edge - window.col, 0), min((col + 1) * edge - window.col, window.width))
            yield (row, col), (rows, cols)


@dataclass(frozen=True)
class ScoreTotals:
    """Everything that was found, added up."""

    blocks: tuple[tuple[int, int, int], ...]
    """Image, row and column of each block that has scored pixels."""
    counts: Counts
    """Their confusion matrices (blocks, classes, classes)."""
    calibration: Calibration | None
    unpredicted: int
    trained: int

    @property
    def whole(self) -> Counts:
        """The confusion matrix of everything, each pixel once."""
        total: Counts = self.counts.sum(axis=0)
        return total


def sum_scores(scored: Iterable[RegionScores], regions: Regions, classes: int) -> ScoreTotals:
    """Add up what the regions found: block matrices are summed, so no pixel counts twice."""
    matrices: dict[tuple[int, int, int], Counts] = {}
    calibration: Calibration | None = None
    sums: Counter[str] = Counter()
    for each in scored:
        image = regions.grids[each.sheet]
        for (row, col), counts in zip(each.blocks, each.counts if each.counts is not None else (), strict=True):
            key = (image, row, col)
            matrices[key] = matrices[key] + counts if key in matrices else counts
        if each.calibration is not None:
            calibration = each.calibration if calibration is None else calibration + each.calibration
        sums.update(unpredicted=each.unpredicted, trained=each.trained)
    keys = tuple(sorted(matrices))
    counts = np.stack([matrices[key] for key in keys]) if keys else np.zeros((0, classes, classes), np.int64)
    return ScoreTotals(keys, counts, calibration, sums["unpredicted"], sums["trained"])


def error_legend(classes: Legend) -> Legend:
    """Of the map of errors: what is right is pale; what is wrong has the colour of what was said."""
    count = len(classes)

    def colour(label: MapClass, said: MapClass) -> tuple[int, int, int]:
        red, green, blue = said.color
        if label == said:
            return (255 - (255 - red) // 5, 255 - (255 - green) // 5, 255 - (255 - blue) // 5)
        return (red * 4 // 5, green * 4 // 5, blue * 4 // 5)

    return tuple(
        MapClass(
            label.value * count + said.value,
            f"{label.name}: right" if label == said else f"{label.name}, called {said.name}",
            colour(label, said),
        )
        for label in classes
        for said in classes
    )
