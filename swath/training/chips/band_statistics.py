"""Numbers that describe the pixels of each band, gathered piece by piece: the same as of all pixels at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BandMoments:
    """Of some pixels, for each band: arrays of float64 (bands,)."""

    count: int
    """Pixels."""
    mean: Floats
    squares: Floats
    """Sum of the squared distances from the mean."""
    low: Floats
    """Smallest number; infinity of no pixels."""
    high: Floats

    @classmethod
    def none(cls, bands: int) -> BandMoments:
        """Of no pixels at all."""
        return cls(0, np.zeros(bands), np.zeros(bands), np.full(bands, np.inf), np.full(bands, -np.inf))

    @classmethod
    def of(cls, pixels: NDArray[np.generic]) -> BandMoments:
        """Of the pixels (bands, n), by two passes in float64."""
        bands, count = pixels.shape
        if not count:
            return cls.none(bands)
        numbers = pixels.astype(np.float64)
        low, high = numbers.min(axis=1), numbers.max(axis=1)
        mean = numbers.mean(axis=1)
        numbers -= mean[:, None]
        return cls(count, mean, np.einsum("bn,bn->b", numbers, numbers), low, high)

    def __add__(self, other: BandMoments) -> BandMoments:
        """Of both (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979)."""
        count = self.count + other.count
        if not other.count:
            return self
        apart = other.mean - self.mean
        return BandMoments(
            count,
            self.mean + apart * (other.count / count),
            self.squares + other.squares + apart**2 * (self.count * other.count / count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def stddev(self) -> Floats:
        """Of the pixels as they are (divided by their number); 0 of none."""
        result: Floats = np.sqrt(self.squares / max(self.count, 1))
        return result


def merge_moments(moments: Iterable[BandMoments]) -> BandMoments:
    """Of all together. Raises ValueError when there is none."""
    first, *rest = moments
    return sum(rest, first)
