"""Objects of one class: labelled and predicted polygons matched one to one, with precision, recall and F1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True)
class ObjectScores:
    """Counts of one class. Two objects match where their IoU is at least the given one."""

    name: str
    labelled: int
    predicted: int
    matched: int

    @property
    def precision(self) -> float:
        """Share of the predicted objects that match; NaN without any."""
        return self.matched / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the labelled objects that match; NaN without any."""
        return self.matched / self.labelled if self.labelled else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without any objects."""
        both = self.labelled + self.predicted
        return 2 * self.matched / both if both else float("nan")

    def __add__(self, other: ObjectScores) -> ObjectScores:
        return ObjectScores(
            self.name,
            self.labelled + other.labelled,
            self.predicted + other.predicted,
            self.matched + other.matched,
        )


def match_objects(name: str, labelled: NDArray[Any], predicted: NDArray[Any], iou: float) -> ObjectScores:
    """Match polygons one to one, the best overlaps first. Both are arrays of shapely geometries in one coordinate system."""
    pairs: list[tuple[float, int, int]] = []
    if len(labelled) and len(predicted):
        rows, columns = shapely.STRtree(predicted).query(labelled, predicate="intersects")
        shared = shapely.area(shapely.intersection(labelled[rows], predicted[columns]))
        union = shapely.area(labelled)[rows] + shapely.area(predicted)[columns] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        good = overlap >= iou
        pairs = sorted(
            zip(overlap[good].tolist(), rows[good].tolist(), columns[good].tolist(), strict=True), reverse=True
        )
    taken: tuple[set[int], set[int]] = (set(), set())
    for _, one, other in pairs:
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
    return ObjectScores(name, len(labelled), len(predicted), len(taken[0]))
