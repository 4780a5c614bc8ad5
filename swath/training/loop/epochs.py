"""Epoch: the metrics of one epoch, from its training loss and the confusion matrix of the validation split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Epoch:
    """Metrics at the end of an epoch."""

    number: int
    """From 1 on."""
    step: int
    """Steps of the training at its end."""
    loss: float
    """Mean over its training steps."""
    learning_rate: float
    seconds: float
    validation_loss: float | None = None
    """Mean over labelled pixels; None without a validation split."""
    counts: tuple[tuple[int, ...], ...] = ()
    """Confusion matrix of the whole validation split, in pixels: rows are labels, columns predictions."""
    iou: tuple[float | None, ...] = ()
    """Of each class; None for a class that is neither labelled nor predicted."""
    mean_iou: float | None = None
    accuracy: float | None = None

    def metric(self, name: str, classes: tuple[str, ...]) -> float | None:
        """A metric by its name in a spec: mean_iou, accuracy, loss (of the validation), or a class for its IoU."""
        match name:
            case "mean_iou":
                return self.mean_iou
            case "accuracy":
                return self.accuracy
            case "loss":
                return self.validation_loss
        return self.iou[classes.index(name)]


def scores_of_counts(counts: NDArray[np.int64]) -> tuple[tuple[float | None, ...], float | None, float | None]:
    """IoU of each class, their mean, and the share of correct pixels, of a confusion matrix (classes, classes). None where nothing
    was counted."""
    correct, union = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    iou = tuple(float(c / u) if u else None for c, u in zip(correct, union, strict=True))
    known = [value for value in iou if value is not None]
    if not known:
        return iou, None, None
    return iou, sum(known) / len(known), float(correct.sum() / counts.sum())
