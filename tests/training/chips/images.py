"""Small labelled images, and chip plans of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swath.imagery.labels.labelled_image import LabelledImage, find_labelled_images
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import IGNORE_INDEX, LabelledImagery, RasterLabels
from swath.spec.fields.split import SplitSpec
from swath.training.chips.chip_plan import ChipPlan, plan_chips
from swath.training.chips.survey import survey, survey_windows
from swath.training.split.split import make_split
from tests.imagery.rasters import write

CLASSES = ("land", "water")


def planned(
    images: tuple[LabelledImage, ...], spec: SplitSpec, seed: int = 0, *, reflectance: bool = False
) -> ChipPlan:
    split = make_split(spec, seed, [image.scenes for image in images])
    surveys = [
        survey(image, window, split, len(CLASSES), reflectance=reflectance)
        for image in images
        for window in survey_windows(image)
    ]
    return plan_chips(images, surveys, split, CLASSES, reflectance=reflectance)


def pair(
    folder: Path, shape: tuple[int, int] = (700, 900), name: str = "a", seed: int = 0, **options: object
) -> tuple[tuple[LabelledImage, ...], np.ndarray, np.ndarray]:
    """An image of noise, with labels that say whether its first band is above 200, and none below 10."""
    pixels = np.random.default_rng(seed).integers(1, 255, (2, *shape)).astype(np.uint8)
    labels = np.where(pixels[0] > 200, 1, 0).astype(np.uint8)
    labels[pixels[0] < 10] = IGNORE_INDEX
    image = write(folder / f"{name}.tif", pixels, names=("green", "nir"), nodata=0, **options)  # type: ignore[arg-type]
    known = write(folder / f"{name}-labels.tif", labels[None], nodata=IGNORE_INDEX, **options)  # type: ignore[arg-type]
    data = LabelledImagery(imagery=FilesImagery(paths=(str(image),)), labels=RasterLabels(path=str(known)))
    return find_labelled_images((data,), None, CLASSES), pixels, labels
