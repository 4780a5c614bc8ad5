"""Confidence intervals by a spatial block bootstrap: errors of neighbouring pixels are correlated, so whole blocks are resampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swath.evaluation.confusion import Confusion, Counts

LEVEL = 0.95
"""Share of the draws inside an interval."""
MIN_BLOCKS = 8
"""With fewer blocks there is no interval."""
_CHUNK = 2**22
"""Numbers of drawn matrices in memory at once."""

ConfidenceInterval = tuple[float, float]


def intervals(blocks: Counts, draws: int, seed: int) -> dict[str, list[ConfidenceInterval | None]]:
    """For every score of Confusion, its interval: of each class, or one in a list. None where it is not known.

    blocks: (blocks, classes, classes), the confusion matrix of each spatial block. Each draw takes as many blocks, with
    replacement, and sums their matrices; the interval goes from the 2.5th to the 97.5th percentile of the draws' scores.
    """
    count, classes = blocks.shape[0], blocks.shape[1]
    flat = blocks.reshape(count, -1).astype(np.float64)
    chunks: dict[str, list[NDArray[np.float64]]] = {}
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(count, classes**2))
    for start in range(0, draws if count >= MIN_BLOCKS else 0, step):
        size = min(step, draws - start)
        weights = random.multinomial(count, np.full(count, 1 / count), size=size)
        drawn = Confusion((weights @ flat).reshape(size, classes, classes))
        for name, values in drawn.scores().items():
            chunks.setdefault(name, []).append(values.reshape(size, -1))
    if not chunks:
        shapes = Confusion(blocks.sum(axis=0)).scores()
        return {name: [None] * int(np.size(values)) for name, values in shapes.items()}
    return {name: [_interval(column) for column in np.concatenate(parts).T] for name, parts in chunks.items()}


def _interval(values: NDArray[np.float64]) -> ConfidenceInterval | None:
    """None where more than a tenth of the draws have no such score."""
    known = values[~np.isnan(values)]
    if len(known) < 0.9 * len(values):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
