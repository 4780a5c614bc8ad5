"""Objects are matched one to one by their overlap."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from swath.evaluation.objects import match_objects


def test_objects_are_matched_one_to_one_by_their_overlap():
    def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
        return np.array([shapely.box(*each) for each in corners])

    labelled = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
    predicted = boxes((0, 0, 10, 9), (0, 0, 10, 10), (20, 0, 25, 9), (60, 0, 70, 10))
    found = match_objects("building", labelled, predicted, 0.5)
    assert (found.labelled, found.predicted, found.matched) == (3, 4, 1)
    assert (found.precision, found.recall) == (0.25, pytest.approx(1 / 3))
    assert match_objects("building", labelled, predicted, 0.45).matched == 2
    empty = match_objects("building", labelled[:0], predicted[:0], 0.5)
    assert np.isnan(empty.precision)
