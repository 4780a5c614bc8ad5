"""BandMoments: mean, deviation and range of each band, merged from parts: the same as of all pixels at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BandMoments:
    """Statistics of some pixels, for each band: arrays of float64 (bands,)."""

    count: int
    """Pixels."""
    mean: Floats
    squares: Floats
    """Sum of the squared distances from the mean."""
    low: Floats
    """Smallest value; infinity of no pixels."""
    high: Floats

    @classmethod
    def none(cls, bands: int) -> BandMoments:
        """Of no pixels."""
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
        """Of the pixels of both (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm", 1979)."""
        count = self.count + other.count
        if not other.count:
            return self
        difference = other.mean - self.mean
        return BandMoments(
            count,
            self.mean + difference * (other.count / count),
            self.squares + other.squares + difference**2 * (self.count * other.count / count),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    @property
    def stddev(self) -> Floats:
        """Population standard deviation (divided by the number of pixels); 0 of none."""
        result: Floats = np.sqrt(self.squares / max(self.count, 1))
        return result

    def value_scaling(self) -> tuple[dict[str, Any], ...]:
        """MLM value_scaling, one object per band, that gives mean 0 and standard deviation 1, in numbers of six significant digits,
        which a contract holds exactly. A band of one value is only shifted."""
        return tuple(
            {"type": "z-score", "mean": float(f"{mean:.6g}"), "stddev": float(f"{deviation:.6g}") or 1.0}
            for mean, deviation in zip(self.mean.tolist(), self.stddev.tolist(), strict=True)
        )

    def statistics(self) -> tuple[dict[str, float], ...]:
        """MLM statistics, one object per band."""
        return tuple(
            {"minimum": low, "maximum": high, "mean": mean, "stddev": deviation, "count": self.count}
            for low, high, mean, deviation in zip(
                self.low.tolist(), self.high.tolist(), self.mean.tolist(), self.stddev.tolist(), strict=True
            )
        )


def merge_moments(moments: Iterable[BandMoments]) -> BandMoments:
    """Of the pixels of all. Raises ValueError when there are none."""
    first, *rest = moments
    return sum(rest, first)
