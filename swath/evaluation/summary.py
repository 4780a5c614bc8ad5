"""Summary: the scores of an evaluation with their intervals, as values for tables, JSON, the terminal and the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from swath.evaluation.bootstrap import LEVEL, ConfidenceInterval, intervals
from swath.evaluation.calibration import BRIER, Calibration
from swath.evaluation.confusion import Confusion, Counts
from swath.evaluation.objects import ObjectScores

BY_CLASS = ("iou", "f1", "precision", "recall")
OVERALL = ("mean_iou", "kappa", "accuracy", "balanced_accuracy")
SCORE_NAMES = {
    "iou": "IoU", "f1": "F1", "precision": "precision", "recall": "recall", "mean_iou": "mean IoU", "kappa": "kappa",
    "accuracy": "overall accuracy", "balanced_accuracy": "balanced accuracy",
}  # fmt: skip


@dataclass(frozen=True)
class Score:
    """A score with its confidence interval."""

    value: float | None
    """None where nothing was counted."""
    interval: ConfidenceInterval | None = None

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        return {"value": self.value, "interval": list(self.interval) if self.interval else None}

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        low_high = f" [{self.interval[0]:.3f}, {self.interval[1]:.3f}]" if self.interval else ""
        return f"{self.value:.3f}{low_high}"


@dataclass(frozen=True)
class Summary:
    """The scores of one evaluation."""

    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    """Confusion matrix of the whole area, in pixels: rows are labels, columns predictions."""
    by_class: dict[str, tuple[Score, ...]]
    """Scores of each class, by the names of BY_CLASS."""
    overall: dict[str, Score]
    """By the names of OVERALL."""
    blocks: int
    """Number of bootstrap blocks."""
    unpredicted: int
    """Pixels that have a label and no prediction."""
    trained: int
    """Scored pixels on which the model was trained."""
    calibration: Calibration | None = None
    objects: tuple[ObjectScores, ...] = ()
    same_ground: int = 0
    """Scored pixels whose ground was trained on in another image, such as of another date."""

    @property
    def pixels(self) -> int:
        """Scored pixels."""
        return sum(map(sum, self.matrix))

    @property
    def support(self) -> tuple[int, ...]:
        """Labelled pixels of each class."""
        return tuple(sum(row) for row in self.matrix)

    def numbers(self) -> dict[str, float | int]:
        """Numbers for tables of runs, and for conditions of later steps."""
        found: dict[str, float | int] = {}
        for name in OVERALL:
            if (value := self.overall[name].value) is not None:
                found[SCORE_NAMES[name]] = round(value, 4)
        for name, score in zip(self.classes, self.by_class["iou"], strict=True):
            if score.value is not None:
                found[f"IoU {name}"] = round(score.value, 4)
        for each in self.objects:
            found |= {
                f"{each.name} objects: {word}": round(number, 4)
                for word, number in (("precision", each.precision), ("recall", each.recall))
                if not math.isnan(number)
            }
        if self.calibration is not None and self.calibration.pixels:
            found |= {"calibration error": round(self.calibration.error, 4), "Brier": round(self.calibration.brier, 4)}
        return found | {"scored pixels": self.pixels}

    def plain(self) -> dict[str, Any]:
        """As values for JSON."""
        document: dict[str, Any] = {
            "classes": list(self.classes),
            "confusion_matrix": {
                "rows": "labels",
                "columns": "predictions",
                "pixels": [list(row) for row in self.matrix],
            },
            "overall": {name: score.plain() for name, score in self.overall.items()},
            "by_class": {
                name: {score: self.by_class[score][number].plain() for score in BY_CLASS}
                | {"support": self.support[number]}
                for number, name in enumerate(self.classes)
            },
            "interval": f"{LEVEL:.0%} of a bootstrap over {self.blocks} spatial blocks",
            "scored_pixels": self.pixels,
            "labelled_without_prediction": self.unpredicted,
            "trained_on": self.trained,
            "ground_trained_on_in_another_image": self.same_ground,
        }
        if self.calibration is not None and self.calibration.pixels:
            document["calibration"] = {
                "expected_calibration_error": self.calibration.error,
                "brier": self.calibration.brier,
                "brier_is": BRIER,
                "bins": [
                    {"confidence": sure, "right": right, "pixels": pixels}
                    for sure, right, pixels in self.calibration.curve()
                ],
            }
        if self.objects:
            document["objects"] = {
                each.name: {
                    "labelled": each.labelled, "predicted": each.predicted, "matched": each.matched,
                    **{w: None if math.isnan(n) else n for w, n in
                       (("precision", each.precision), ("recall", each.recall), ("f1", each.f1))},
                }
                for each in self.objects
            }  # fmt: skip
        return document

    def lines(self) -> list[str]:
        """A table for the terminal."""
        wide = max(len(name) for name in (*self.classes, SCORE_NAMES["balanced_accuracy"]))
        table = [f"{'':{wide}}  {'IoU':22} {'F1':6} {'precision':9} {'recall':6} {'pixels':>12}"]
        for number, name in enumerate(self.classes):
            iou, f1, precision, recall = (self.by_class[score][number] for score in BY_CLASS)
            table.append(
                f"{name:{wide}}  {iou!s:22} {_short(f1):6} {_short(precision):9} {_short(recall):6} "
                f"{self.support[number]:12,}"
            )
        return [*table, *(f"{SCORE_NAMES[name]:{wide}}  {self.overall[name]}" for name in OVERALL)]


def _short(score: Score) -> str:
    return "-" if score.value is None else f"{score.value:.3f}"


def summarise(
    classes: tuple[str, ...],
    blocks: Counts,
    *,
    draws: int,
    seed: int,
    unpredicted: int = 0,
    trained: int = 0,
    same_ground: int = 0,
    calibration: Calibration | None = None,
    objects: tuple[ObjectScores, ...] = (),
) -> Summary:
    """The scores of an area, from the confusion matrices of its blocks (blocks, classes, classes), with bootstrap intervals."""
    matrix = blocks.sum(axis=0)
    values, spread = Confusion(matrix).scores(), intervals(blocks, draws, seed)

    def scores(name: str) -> tuple[Score, ...]:
        numbers = np.ravel(values[name]).tolist()
        each = zip(numbers, spread[name], strict=True)
        return tuple(Score(None) if math.isnan(number) else Score(number, interval) for number, interval in each)

    return Summary(
        classes,
        tuple(tuple(row) for row in matrix.tolist()),
        {name: scores(name) for name in BY_CLASS},
        {name: scores(name)[0] for name in OVERALL},
        len(blocks),
        unpredicted,
        trained,
        calibration,
        objects,
        same_ground,
    )
