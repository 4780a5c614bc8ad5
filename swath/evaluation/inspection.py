"""What a map of errors shows: objects that were found or not, and the places where most is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import UsageError
from swath.evaluation.objects import ObjectScores, match_objects
from swath.evaluation.page import WorstPlace, class_picture, image_picture
from swath.evaluation.scoring import NODATA
from swath.geo import Window
from swath.imagery.geometry.footprint import transformer
from swath.imagery.labels.label_objects import label_objects, trace_objects
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.region_result import FileParts
from swath.spec.fields.labels import IGNORE_INDEX

if TYPE_CHECKING:
    from swath.evaluation.scoring import RegionScores, ScoreTotals, ScoringInput
    from swath.geo import Regions
    from swath.imagery.labels.labelled_image import LabelledImage

MAX_OBJECT_PIXELS = 400_000_000
"""Of an image whose objects are looked at as a whole."""
THUMBNAIL_EDGE = 256
"""Longest edge of a picture of a block, in pixels."""


def stitch_errors(scored: Sequence[RegionScores], regions: Regions, grid: int, window: Window) -> NDArray[np.uint8]:
    """The map of errors in a window of one image, uint8 (height, width)."""
    whole = np.full(window.shape, NODATA, np.uint8)
    for sheet, on in enumerate(regions.grids):
        if on != grid:
            continue
        for part in FileParts.of(scored, "map", regions, sheet).touching(regions.sheets[sheet], window):
            shared = part.window.intersection(window)
            if shared is not None:
                whole[shared.within(window)] = part.read(shared)[0]
    return whole


def labels_and_predictions(shown: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What a map of errors is made of: class numbers of both, IGNORE_INDEX where there is nothing."""
    known = shown != NODATA
    return (
        np.where(known, shown // np.uint8(classes), np.uint8(IGNORE_INDEX)),
        np.where(known, shown % np.uint8(classes), np.uint8(IGNORE_INDEX)),
    )


def object_scores(
    scored: Sequence[RegionScores], regions: Regions, subject: ScoringInput, names: Sequence[str], iou: float
) -> tuple[ObjectScores, ...]:
    """Objects of some classes, whole across regions: connected pixels of predictions against the features that labels come from,
    or against connected pixels of labels. Raises UsageError for an area that is too large to be looked at as a whole."""
    known = {each.name: each.value for each in subject.classes}
    found = {name: ObjectScores(name, 0, 0, 0) for name in names}
    for grid in dict.fromkeys(regions.grids):
        windows = [regions.sheets[sheet].output for sheet, on in enumerate(regions.grids) if on == grid]
        top, left = min(w.row for w in windows), min(w.col for w in windows)
        window = Window(top, left, max(w.stop_row for w in windows) - top, max(w.stop_col for w in windows) - left)
        if window.height * window.width > MAX_OBJECT_PIXELS:
            raise UsageError(
                f"objects: {window.height * window.width / 1e6:.0f} million pixels; objects are told of at most "
                f"{MAX_OBJECT_PIXELS / 1e6:.0f}",
                remedy="Give an area, or leave objects out.",
            )
        shown = stitch_errors(scored, regions, grid, window)
        labels, predicted = labels_and_predictions(shown, len(subject.classes))
        for name in names:
            number = known[name]
            own = label_objects(subject.images[grid].labels, number, window)
            if own is None or subject.only is not None:
                own = trace_objects(labels == number, window)
            one = match_objects(name, own, trace_objects(predicted == number, window), iou)
            before = found[name]
            found[name] = ObjectScores(
                name, before.labelled + one.labelled, before.predicted + one.predicted, before.matched + one.matched
            )
    return tuple(found.values())


def worst_places(
    scored: Sequence[RegionScores],
    regions: Regions,
    subject: ScoringInput,
    found: ScoreTotals,
    count: int,
    *,
    photos: bool,
) -> list[WorstPlace]:
    """The blocks with the most wrong pixels, with their pictures."""
    pixels = found.counts.sum(axis=(1, 2))
    wrong = pixels - np.trace(found.counts, axis1=1, axis2=2)
    colors = [each.color for each in subject.classes]
    places = []
    for number in np.argsort(-wrong, kind="stable")[:count].tolist():
        if not wrong[number]:
            break
        grid, row, col = found.blocks[number]
        image, edge = subject.images[grid], subject.blocks[grid]
        window = Window(row * edge, col * edge, edge, edge).intersection(Window(0, 0, *image.scenes.image.shape))
        if window is None:
            continue
        step = max(1, -(-max(window.shape) // THUMBNAIL_EDGE))
        labels, predicted = labels_and_predictions(stitch_errors(scored, regions, grid, window), len(subject.classes))
        pictures = [class_picture(each[::step, ::step], colors) for each in (labels, predicted)]
        if photos:
            values, valid = read_mosaic(image.scenes, window)
            pictures.insert(
                0, image_picture(_colours(values, image.scenes.bands)[:, ::step, ::step], valid[::step, ::step])
            )
        places.append(WorstPlace(_where(image, window), int(pixels[number]), int(wrong[number]), tuple(pictures)))
    return places


def _colours(pixels: NDArray[Any], bands: tuple[str, ...]) -> NDArray[Any]:
    """Red, green and blue, where there are such bands; else the first three, or the first."""
    names = [name.lower() for name in bands]
    if all(name in names for name in ("red", "green", "blue")):
        return pixels[[names.index(name) for name in ("red", "green", "blue")]]
    return pixels[:3] if len(pixels) >= 3 else pixels[:1]


def _where(image: LabelledImage, window: Window) -> str:
    """The middle of a window in words."""
    grid = image.scenes.image
    x, y = grid.affine @ (window.col + window.width / 2, window.row + window.height / 2)
    if grid.crs is None:
        return f"{image.scenes.scenes[0].id}, row {window.row}, column {window.col}"
    longitude, latitude = transformer(str(grid.crs), "EPSG:4326").transform(x, y)
    return f"at {latitude:.5f}, {longitude:.5f} (latitude, longitude)"
