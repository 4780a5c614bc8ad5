"""Confusion matrix of a whole area, and the scores that follow from it. No score is a mean over tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""Pixels (classes, classes): rows are labels, columns predictions."""
Floats = NDArray[np.float64]


def count_pairs(labels: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    """The confusion matrix of two arrays of class numbers of one shape. Pixels without a class in either are not counted."""
    known = (labels < classes) & (predicted < classes)
    pairs = labels[known].astype(np.int64) * classes + predicted[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class Confusion:
    """The scores of one matrix, or of many at once: `counts` is (..., classes, classes). Scores of no pixels are NaN."""

    counts: NDArray[np.float64] | Counts

    @property
    def correct(self) -> Floats:
        """Correctly predicted pixels of each class (..., classes)."""
        correct: Floats = np.diagonal(self.counts, axis1=-2, axis2=-1).astype(np.float64)
        return correct

    @property
    def support(self) -> Floats:
        """Labelled pixels of each class (..., classes)."""
        pixels: Floats = self.counts.sum(axis=-1).astype(np.float64)
        return pixels

    @property
    def predicted(self) -> Floats:
        """Predicted pixels of each class (..., classes)."""
        pixels: Floats = self.counts.sum(axis=-2).astype(np.float64)
        return pixels

    @property
    def total(self) -> Floats:
        """All pixels (...)."""
        pixels: Floats = self.counts.sum(axis=(-2, -1)).astype(np.float64)
        return pixels

    @property
    def iou(self) -> Floats:
        """Intersection over union of each class (..., classes)."""
        return _ratio(self.correct, self.support + self.predicted - self.correct)

    @property
    def precision(self) -> Floats:
        """Share of the predicted pixels of each class that are correct (..., classes)."""
        return _ratio(self.correct, self.predicted)

    @property
    def recall(self) -> Floats:
        """Share of the labelled pixels of each class that are correct (..., classes)."""
        return _ratio(self.correct, self.support)

    @property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall (..., classes)."""
        return _ratio(2 * self.correct, self.support + self.predicted)

    @property
    def mean_iou(self) -> Floats:
        """Mean over the classes that occur, in labels or predictions (...)."""
        return _mean(self.iou)

    @property
    def accuracy(self) -> Floats:
        """Share of correct pixels (...)."""
        return _ratio(self.correct.sum(axis=-1), self.total)

    @property
    def balanced_accuracy(self) -> Floats:
        """Mean recall over the classes that have labels (...)."""
        return _mean(self.recall)

    @property
    def kappa(self) -> Floats:
        """Cohen's kappa: agreement beyond chance with the same shares of classes (...)."""
        total = self.total
        chance = _ratio((self.support * self.predicted).sum(axis=-1), total**2)
        return _ratio(self.accuracy - chance, 1 - chance)

    def scores(self) -> dict[str, Floats]:
        """All of them by name."""
        names = ("iou", "f1", "precision", "recall", "mean_iou", "kappa", "accuracy", "balanced_accuracy")
        return {name: getattr(self, name) for name in names}


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(whole != 0, part / np.where(whole != 0, whole, 1), np.nan)
    return result


def _mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))
