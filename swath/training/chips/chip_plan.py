"""ChipPlan: labelled images with their surveys and split, checked: everything that the chips of a training are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import ImageryError
from swath.imagery.labels.labels import unknown_labels_text
from swath.training.chips.band_statistics import BandMoments, merge_moments
from swath.training.chips.survey import SPLITS, Survey, merge_surveys, survey_windows
from swath.training.split.split import SPLIT_NAMES, TRAIN, VALIDATION, Split

if TYPE_CHECKING:
    from swath.imagery.labels.labelled_image import LabelledImage


@dataclass(frozen=True)
class ChipPlan:
    """Labelled images with their surveys. Holds no pixels."""

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
        """Statistics of the training pixels of all images."""
        return merge_moments(each.moments for each in self.surveys)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the log: of the images, and classes that a split lacks."""
        missing = [
            f"{SPLIT_NAMES[split]} has no pixel of the class {name}"
            for split in SPLITS
            for name, count in zip(self.classes, self.counts[split], strict=True)
            if not count and self.counts[split].any()
        ]
        notes = [note for image in self.images for note in image.notes]
        return (*dict.fromkeys([*notes, *unknown_notes(self.images, self.surveys)]), *missing)


def plan_chips(
    images: tuple[LabelledImage, ...],
    surveys: Sequence[Survey],
    split: Split,
    classes: tuple[str, ...],
    *,
    reflectance: bool = False,
) -> ChipPlan:
    """The plan of the surveys of all windows of all images, in the order of `survey_windows`. Raises ImageryError when no labelled
    pixel is in the training split, or none in the validation split."""
    merged, start = [], 0
    for image in images:
        stop = start + len(survey_windows(image))
        merged.append(merge_surveys(surveys[start:stop]))
        start = stop
    plan = ChipPlan(images, split, classes, reflectance, tuple(merged))
    for number in (TRAIN, VALIDATION):
        if not plan.counts[number].any():
            total = sum(int(each.cells.sum()) for each in merged)
            raise ImageryError(
                f"split: no labelled pixel is in {SPLIT_NAMES[number]} ({total} are in all splits together)"
                + "".join(f"; {note}" for note in unknown_notes(images, merged)),
                remedy=_remedy(split),
            )
    return plan


def unknown_notes(images: Sequence[LabelledImage], surveys: Sequence[Survey]) -> list[str]:
    """Notes on the labels of images whose values are no class."""
    return [
        unknown_labels_text(image.labels, each.unknown_labels)[0]
        for image, each in zip(images, surveys, strict=True)
        if each.unknown_labels
    ]


def _remedy(split: Split) -> str:
    return {
        "blocks": "Take smaller blocks (split.size_m) with a smaller split.buffer_m, or another seed: there are too few blocks.",
        "area": "Check split.validation: there must be labels inside it, and outside of it and its buffer.",
        "scene": "Name other scenes in split.validation: scenes with labels must be in it, and others must be left.",
        "columns": "Change split.validation: there must be labels in the right part of an image, and in the left.",
    }[split.spec.by]
