"""Inspection of an error map: matched objects, and the blocks with the most errors with their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import UsageError
from swath.evaluation.error_map import NODATA, decode_errors
from swath.evaluation.objects import ObjectScores, match_objects
from swath.evaluation.page import WorstPlace, class_picture, image_picture
from swath.geo import Window
from swath.imagery.geometry.footprint import transformer
from swath.imagery.geometry.orientation import Orientation
from swath.imagery.labels.label_objects import label_objects, trace_objects
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.region_result import FileParts

if TYPE_CHECKING:
    from swath.evaluation.scoring import RegionScores, ScoreTotals
    from swath.evaluation.scoring_input import ScoringInput
    from swath.geo import Regions
    from swath.imagery.labels.labelled_image import LabelledImage

MAX_OBJECT_PIXELS = 400_000_000
"""In pixels: of an image whose objects are traced as a whole."""
THUMBNAIL_EDGE = 256
"""Longest edge of a picture of a block, in pixels."""


def stitch_errors(scored: Sequence[RegionScores], regions: Regions, grid: int, window: Window) -> NDArray[np.uint8]:
    """The error map in a window of one image, uint8 (height, width)."""
    errors = np.full(window.shape, NODATA, np.uint8)
    for sheet, on in enumerate(regions.grids):
        if on != grid:
            continue
        for part in FileParts.of(scored, "map", regions, sheet).touching(regions.sheets[sheet], window):
            shared = part.window.intersection(window)
            if shared is not None:
                errors[shared.within(window)] = part.read(shared)[0]
    return errors


def object_scores(
    scored: Sequence[RegionScores], regions: Regions, scoring_input: ScoringInput, names: Sequence[str], iou: float
) -> tuple[ObjectScores, ...]:
    """Matches of the objects of the classes `names`, not cut by regions: connected pixels of predictions with the features of vector
    labels, or with connected pixels of labels. Raises UsageError for an area of more than MAX_OBJECT_PIXELS."""
    numbers = {each.name: each.value for each in scoring_input.classes}
    totals = {name: ObjectScores(name, 0, 0, 0) for name in names}
    for grid in dict.fromkeys(regions.grids):
        windows = [regions.sheets[sheet].output for sheet, on in enumerate(regions.grids) if on == grid]
        top, left = min(w.row for w in windows), min(w.col for w in windows)
        window = Window(top, left, max(w.stop_row for w in windows) - top, max(w.stop_col for w in windows) - left)
        if window.height * window.width > MAX_OBJECT_PIXELS:
            raise UsageError(
                f"objects: {window.height * window.width / 1e6:.0f} million pixels; objects can be counted in at most "
                f"{MAX_OBJECT_PIXELS / 1e6:.0f}",
                remedy="Give an area, or leave objects out.",
            )
        errors = stitch_errors(scored, regions, grid, window)
        labels, predicted = decode_errors(errors, len(scoring_input.classes))
        for name in names:
            number = numbers[name]
            labelled = label_objects(scoring_input.images[grid].labels, number, window)
            if labelled is None or scoring_input.only is not None:
                labelled = trace_objects(labels == number, window)
            totals[name] += match_objects(name, labelled, trace_objects(predicted == number, window), iou)
    return tuple(totals.values())


def worst_places(
    scored: Sequence[RegionScores],
    regions: Regions,
    scoring_input: ScoringInput,
    totals: ScoreTotals,
    count: int,
    *,
    photos: bool,
) -> list[WorstPlace]:
    """The `count` blocks with the most wrong pixels, with pictures of labels and predictions and, with `photos`, of the image."""
    pixels = totals.counts.sum(axis=(1, 2))
    wrong = pixels - np.trace(totals.counts, axis1=1, axis2=2)
    colors = [each.color for each in scoring_input.classes]
    places = []
    for number in np.argsort(-wrong, kind="stable")[:count].tolist():
        if not wrong[number]:
            break
        grid, row, col = totals.blocks[number]
        image, edge = scoring_input.images[grid], scoring_input.blocks[grid]
        window = Window(row * edge, col * edge, edge, edge).intersection(Window(0, 0, *image.scenes.image.shape))
        if window is None:
            continue
        step = max(1, -(-max(window.shape) // THUMBNAIL_EDGE))
        labels, predicted = decode_errors(stitch_errors(scored, regions, grid, window), len(scoring_input.classes))
        grid_box = image.scenes.image
        upright = Orientation.of(grid_box.affine, georeferenced=grid_box.crs is not None)
        pictures = [class_picture(upright.apply(each[::step, ::step]), colors) for each in (labels, predicted)]
        if photos:
            values, valid = read_mosaic(image.scenes, window)
            layers = np.stack([upright.apply(each) for each in _rgb(values, image.scenes.bands)[:, ::step, ::step]])
            pictures.insert(0, image_picture(layers, upright.apply(valid[::step, ::step])))
        places.append(WorstPlace(_position(image, window), int(pixels[number]), int(wrong[number]), tuple(pictures)))
    return places


def _rgb(pixels: NDArray[Any], bands: tuple[str, ...]) -> NDArray[Any]:
    """The bands red, green and blue, where there are such; else the first three, or the first."""
    names = [name.lower() for name in bands]
    if all(name in names for name in ("red", "green", "blue")):
        return pixels[[names.index(name) for name in ("red", "green", "blue")]]
    return pixels[:3] if len(pixels) >= 3 else pixels[:1]


def _position(image: LabelledImage, window: Window) -> str:
    """The centre of a window as text."""
    grid = image.scenes.image
    x, y = grid.affine @ (window.col + window.width / 2, window.row + window.height / 2)
    if grid.crs is None:
        return f"{image.scenes.scenes[0].id}, row {window.row}, column {window.col}"
    longitude, latitude = transformer(str(grid.crs), "EPSG:4326").transform(x, y)
    return f"at {latitude:.5f}, {longitude:.5f} (latitude, longitude)"
