"""Objects: how many of those that are there were found, and how many of those that were found are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray


@dataclass(frozen=True)
class ObjectScores:
    """Of one class. An object is found where one that was predicted overlaps it with at least the asked IoU."""

    name: str
    labelled: int
    predicted: int
    matched: int

    @property
    def precision(self) -> float:
        """Share of the predicted objects that are there; NaN of nothing."""
        return self.matched / self.predicted if self.predicted else float("nan")

    @property
    def recall(self) -> float:
        """Share of the objects that were found; NaN of nothing."""
        return self.matched / self.labelled if self.labelled else float("nan")

    @property
    def f1(self) -> float:
        both = self.labelled + self.predicted
        return 2 * self.matched / both if both else float("nan")


def match_objects(name: str, labelled: NDArray[Any], predicted: NDArray[Any], iou: float) -> ObjectScores:
    """Match polygons one to one, the best overlaps first. Both are arrays of shapely geometries in one coordinate system."""
    pairs: list[tuple[float, int, int]] = []
    if len(labelled) and len(predicted):
        ours, theirs = shapely.STRtree(predicted).query(labelled, predicate="intersects")
        shared = shapely.area(shapely.intersection(labelled[ours], predicted[theirs]))
        union = shapely.area(labelled)[ours] + shapely.area(predicted)[theirs] - shared
        found = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        good = found >= iou
        pairs = sorted(zip(found[good].tolist(), ours[good].tolist(), theirs[good].tolist(), strict=True), reverse=True)
    taken: tuple[set[int], set[int]] = (set(), set())
    for _, one, other in pairs:
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
    return ObjectScores(name, len(labelled), len(predicted), len(taken[0]))
