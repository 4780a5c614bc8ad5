"""ScoringInput: imagery or a map with labels on its pixels, the classes and the split: what a model or a map is scored on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swath.errors import ImageryError, UsageError
from swath.evaluation.error_map import MAX_CLASSES
from swath.evaluation.trained_ground import TrainedScene, trained_scenes
from swath.imagery.geometry.image_grid import output_window
from swath.imagery.geometry.pixel_area import PixelArea
from swath.imagery.labels.labelled_image import LabelledImage, check_features_meet, find_labelled_images
from swath.imagery.labels.labels import find_labels
from swath.imagery.sources.scene_units import check_units
from swath.maps.class_map import open_class_map
from swath.maps.legend import Legend, MapClass
from swath.maps.resolution import resolution_note
from swath.spec.fields.split import SceneSplit
from swath.training.split.split import SPLIT_NAMES, Split

if TYPE_CHECKING:
    from swath.models.contract import Contract
    from swath.spec.fields.area import Area
    from swath.spec.fields.grid import GridSpec
    from swath.spec.fields.labels import LabelClass, LabelledData, Labels

BOOTSTRAP_BLOCKS = 64
"""About so many blocks an area is cut into when the spec gives no block_m."""
MIN_BLOCK_EDGE = 16
"""In pixels."""


@dataclass(frozen=True)
class ScoringInput:
    """Images with labels, and the meaning of the predictions' values. Holds no pixels."""

    images: tuple[LabelledImage, ...]
    """Each on a grid of its own. For a map: its files, which are read as the predictions."""
    classes: Legend
    """Their values are the class numbers of the labels."""
    numbers: tuple[tuple[int, int], ...]
    """Value of a prediction -> number of its class."""
    blocks: tuple[int, ...]
    """Of each image, the edge of the bootstrap's blocks, in pixels."""
    area: Area | None = None
    split: Split | None = None
    """The split of the model's training, where it is known."""
    only: int | None = None
    """The split that is scored; None for everything that has a label."""
    trained: tuple[tuple[TrainedScene, ...], ...] = ()
    """Of each image, the scenes of the model's training that cover pixels of it; empty for a map."""
    notes: tuple[str, ...] = ()

    @property
    def grids(self) -> tuple[Any, ...]:
        """The scenes of each image."""
        return tuple(image.scenes for image in self.images)


def find_model_scoring(
    data: LabelledData,
    contract: Contract,
    area: Area | None,
    only: Literal["validation", "test"] | None,
    block_m: float | None,
    grid: GridSpec | None = None,
) -> ScoringInput:
    """What a model is scored on. With `grid` each entry of the data is read on that grid, as predict does.

    Raises what finding imagery and labels raises; UsageError when the contract does not have the split that is requested, or the model
    has no classes."""
    if contract.output != "classes":
        raise UsageError(
            f"{contract.name} gives values, not classes, and only classes can be scored",
            remedy="Evaluate a model of classes.",
        )
    classes = _legend((each.name, each.color) for each in contract.classes)
    names = tuple(each.name for each in classes)
    numbers = tuple((each.value, position) for position, each in enumerate(contract.classes))
    training = (contract.mlm or {}).get("swath:training", {})
    split = Split.from_document(training["split"]) if training.get("split") else None
    apart = (
        only is not None and split is not None and isinstance(split.spec, SceneSplit)
    )  # each scene has a split of its own
    if apart and grid is not None:
        raise UsageError(
            "grid: scenes that are split one by one are scored on their own grids",
            remedy="Leave grid out, or leave split out to score everything that has a label.",
        )
    images = find_labelled_images(_within(data, area), contract.bands, names, mosaic=not apart, grid=grid)
    for image in images:
        check_units((image.scenes,), physical=contract.units == "reflectance")
    if only is not None and split is None:
        raise UsageError(
            f"split: {contract.name} does not say how its training was split, so its {only} split is not known",
            remedy="Leave split out to score everything that has a label, or give the area.",
        )
    trained = tuple(trained_scenes(image.scenes, training.get("scenes", ())) for image in images)
    notes = [resolution_note(contract, image.scenes.image) for image in images]
    return _scoring_input(
        images,
        classes,
        numbers,
        area,
        block_m,
        split,
        None if only is None else SPLIT_NAMES.index(only),
        trained,
        notes,
    )


def find_map_scoring(
    path: str, labels: Labels, classes: tuple[LabelClass, ...], area: Area | None, block_m: float | None
) -> ScoringInput:
    """What a finished map is scored on: labels on its own pixels. Raises what opening the map and finding labels raises."""
    found = open_class_map(path, classes)
    legend = _legend((each.name, each.color) for each in found.classes)
    names = tuple(each.name for each in legend)
    image = LabelledImage(found.scenes, find_labels(labels, found.scenes, names, area))
    check_features_meet([image.labels])
    numbers = tuple((each.value, position) for position, each in enumerate(found.classes))
    return _scoring_input((image,), legend, numbers, area, block_m)


def _within(data: LabelledData, area: Area | None) -> LabelledData:
    """The data, with the area for entries that have none of their own."""
    return tuple(
        each if each.area is not None or area is None else each.model_copy(update={"area": area}) for each in data
    )


def _legend(classes: Iterable[tuple[str, tuple[int, int, int]]]) -> Legend:
    return tuple(MapClass(number, name, color) for number, (name, color) in enumerate(classes))


def _scoring_input(
    images: tuple[LabelledImage, ...],
    classes: Legend,
    numbers: tuple[tuple[int, int], ...],
    area: Area | None,
    block_m: float | None,
    split: Split | None = None,
    only: int | None = None,
    trained: tuple[tuple[TrainedScene, ...], ...] = (),
    more: Iterable[str] = (),
) -> ScoringInput:
    """`more` are notes beside those of the images."""
    if len(classes) > MAX_CLASSES:
        raise ImageryError(
            f"{len(classes)} classes: a map of errors holds the pairs of {MAX_CLASSES}", remedy="Merge classes before."
        )
    blocks = tuple(_block_edge(image, block_m) for image in images)
    notes = tuple(dict.fromkeys([*(note for image in images for note in image.notes), *filter(None, more)]))
    return ScoringInput(images, classes, numbers, blocks, area, split, only, trained, notes)


def _block_edge(image: LabelledImage, block_m: float | None) -> int:
    """Edge of a bootstrap block in pixels."""
    pixel_area = PixelArea.of(image.scenes.image)
    if block_m is None:
        window = output_window(image.scenes.image, image.labels.area)
        return max(MIN_BLOCK_EDGE, round(math.sqrt(window.height * window.width / BOOTSTRAP_BLOCKS)))
    if pixel_area is None:
        raise ImageryError(
            "block_m: the imagery has no coordinate reference system, so its pixels have no size in metres",
            remedy="Leave block_m out, or georeference the imagery.",
        )
    return max(1, round(block_m / math.sqrt(pixel_area.width_m * pixel_area.height_m)))
