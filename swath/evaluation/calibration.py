"""Whether a model is right as often as it says: reliability bins, the expected calibration error, the Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Of equal width, over the probability of the class that was chosen."""


@dataclass(frozen=True)
class Calibration:
    """Sums that add up over any parts of an area."""

    counts: tuple[int, ...] = (0,) * BINS
    """Pixels in each bin."""
    confidences: tuple[float, ...] = (0.0,) * BINS
    """Sum of their probabilities of the chosen class."""
    right: tuple[int, ...] = (0,) * BINS
    """How many of them are right."""
    squares: float = 0.0
    """Sum over pixels and classes of (probability - 1 where it is the class)^2."""

    @classmethod
    def of(cls, labels: NDArray[np.uint8], chances: NDArray[np.floating]) -> Calibration:
        """Of labels (height, width) and probabilities (classes, height, width). Pixels without a label or with NaN are left out."""
        known = (labels < len(chances)) & ~np.isnan(chances).any(axis=0)
        if not known.any():
            return cls()
        numbers, each = labels[known], chances[:, known].astype(np.float64)
        chosen = each.argmax(axis=0)
        sure = each.max(axis=0)
        bins = np.minimum((sure * BINS).astype(np.intp), BINS - 1)
        truth = np.zeros_like(each)
        truth[numbers, np.arange(len(numbers))] = 1
        return cls(
            tuple(np.bincount(bins, minlength=BINS).tolist()),
            tuple(np.bincount(bins, weights=sure, minlength=BINS).tolist()),
            tuple(np.bincount(bins, weights=chosen == numbers, minlength=BINS).astype(int).tolist()),
            float(((each - truth) ** 2).sum()),
        )

    def __add__(self, other: Calibration) -> Calibration:
        def added(one: tuple[float, ...], two: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(a + b for a, b in zip(one, two, strict=True))

        return Calibration(
            tuple(map(int, added(self.counts, other.counts))),
            added(self.confidences, other.confidences),
            tuple(map(int, added(self.right, other.right))),
            self.squares + other.squares,
        )

    @property
    def pixels(self) -> int:
        return sum(self.counts)

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of confidence and accuracy, weighted by pixels; NaN of nothing."""
        if not self.pixels:
            return float("nan")
        return sum(abs(c - r) for c, r in zip(self.confidences, self.right, strict=True)) / self.pixels

    @property
    def brier(self) -> float:
        """Mean over pixels of the squared distance of all probabilities from the truth, 0..2; NaN of nothing."""
        return self.squares / self.pixels if self.pixels else float("nan")

    def curve(self) -> list[tuple[float, float, int]]:
        """(mean confidence, share that is right, pixels) of each bin that has pixels."""
        bins = zip(self.confidences, self.right, self.counts, strict=True)
        return [(c / n, r / n, n) for c, r, n in bins if n]
