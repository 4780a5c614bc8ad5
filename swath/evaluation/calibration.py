"""Calibration of class probabilities: reliability bins, expected calibration error, Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_BINS = 10
"""Of equal width, over the probability of the predicted class."""

BRIER = "summed over the classes, 0 to 2: for two classes twice the binary Brier score"
"""Which Brier score it is."""


@dataclass(frozen=True)
class Calibration:
    """Sums over pixels; those of parts of an area add up."""

    counts: tuple[int, ...] = (0,) * CONFIDENCE_BINS
    """Pixels in each bin."""
    confidences: tuple[float, ...] = (0.0,) * CONFIDENCE_BINS
    """Sum of their probabilities of the predicted class."""
    correct: tuple[int, ...] = (0,) * CONFIDENCE_BINS
    """How many of them are predicted correctly."""
    squares: float = 0.0
    """Sum over pixels and classes of (probability - 1 where it is the class)^2."""

    @classmethod
    def of(cls, labels: NDArray[np.uint8], probabilities: NDArray[np.floating]) -> Calibration:
        """Of labels (height, width) and probabilities (classes, height, width). Pixels without a label, or with NaN, are left out."""
        known = (labels < len(probabilities)) & ~np.isnan(probabilities).any(axis=0)
        if not known.any():
            return cls()
        numbers, each = labels[known], probabilities[:, known].astype(np.float64)
        predicted = each.argmax(axis=0)
        confidence = each.max(axis=0)
        bins = np.minimum((confidence * CONFIDENCE_BINS).astype(np.intp), CONFIDENCE_BINS - 1)
        truth = np.zeros_like(each)
        truth[numbers, np.arange(len(numbers))] = 1
        return cls(
            tuple(np.bincount(bins, minlength=CONFIDENCE_BINS).tolist()),
            tuple(np.bincount(bins, weights=confidence, minlength=CONFIDENCE_BINS).tolist()),
            tuple(np.bincount(bins, weights=predicted == numbers, minlength=CONFIDENCE_BINS).astype(int).tolist()),
            float(((each - truth) ** 2).sum()),
        )

    def __add__(self, other: Calibration) -> Calibration:
        def added(one: tuple[float, ...], two: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(a + b for a, b in zip(one, two, strict=True))

        return Calibration(
            tuple(map(int, added(self.counts, other.counts))),
            added(self.confidences, other.confidences),
            tuple(map(int, added(self.correct, other.correct))),
            self.squares + other.squares,
        )

    @property
    def pixels(self) -> int:
        return sum(self.counts)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and accuracy, weighted by pixels; NaN without pixels."""
        if not self.pixels:
            return float("nan")
        return sum(abs(c - r) for c, r in zip(self.confidences, self.correct, strict=True)) / self.pixels

    @property
    def brier(self) -> float:
        """Mean over pixels of the squared distance of all probabilities from the truth, 0 to 2; NaN without pixels."""
        return self.squares / self.pixels if self.pixels else float("nan")

    def curve(self) -> list[tuple[float, float, int]]:
        """(mean confidence, accuracy, pixels) of each bin that has pixels."""
        bins = zip(self.confidences, self.correct, self.counts, strict=True)
        return [(c / n, r / n, n) for c, r, n in bins if n]
