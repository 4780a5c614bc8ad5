"""What each epoch of a training came to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to."""

    number: int
    """From 1 on."""
    step: int
    """Steps made by its end."""
    loss: float
    """Mean over its training steps."""
    learning_rate: float
    seconds: float
    validation_loss: float | None = None
    """Mean over labelled pixels; None where nothing is held back."""
    counts: tuple[tuple[int, ...], ...] = ()
    """The confusion matrix of the whole validation split: rows are labels, columns predictions."""
    iou: tuple[float | None, ...] = ()
    """Of each class; None for a class that is neither there nor predicted."""
    mean_iou: float | None = None
    accuracy: float | None = None

    def metric(self, name: str, classes: tuple[str, ...]) -> float | None:
        """A metric by the name that a spec has for it."""
        match name:
            case "mean_iou":
                return self.mean_iou
            case "accuracy":
                return self.accuracy
            case "loss":
                return self.validation_loss
        return self.iou[classes.index(name)]


def scores_of_counts(counts: NDArray[np.int64]) -> tuple[tuple[float | None, ...], float | None, float | None]:
    """IoU of each class, their mean, and the share of right pixels, from one confusion matrix. None where nothing is to be said."""
    right, either = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    iou = tuple(float(r / e) if e else None for r, e in zip(right, either, strict=True))
    known = [value for value in iou if value is not None]
    if not known:
        return iou, None, None
    return iou, sum(known) / len(known), float(right.sum() / counts.sum())
