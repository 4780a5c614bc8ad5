"""One confusion matrix over the whole area, and the scores of the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swath.evaluation.confusion import Confusion, count_pairs
from swath.spec.fields.labels import IGNORE_INDEX


def test_the_score_of_the_whole_area_is_not_the_mean_of_its_tiles():
    """Water lies in 12 tiles of 79, all of it found; every other tile has a speck that is wrong."""
    edge, tiles = 32, 79
    labels, predicted = np.zeros((edge, edge * tiles), np.uint8), np.zeros((edge, edge * tiles), np.uint8)
    for tile in range(12):
        labels[:, tile * edge : (tile + 1) * edge] = predicted[:, tile * edge : (tile + 1) * edge] = 1
    for tile in range(12, tiles):  # a speck in each: water where there is none
        predicted[0, tile * edge : tile * edge + (28 if tile < 23 else 27)] = 1
    whole = Confusion(count_pairs(labels, predicted, 2)).iou[1]
    each = [
        Confusion(count_pairs(labels[:, s : s + edge], predicted[:, s : s + edge], 2)).iou[1]
        for s in range(0, edge * tiles, edge)
    ]
    assert round(float(whole), 3) == 0.871
    assert round(float(np.mean(each)), 3) == 0.152


@given(
    arrays(np.uint8, (6, 9), elements=st.sampled_from([0, 1, 2, IGNORE_INDEX])),
    arrays(np.uint8, (6, 9), elements=st.integers(0, 2)),
)
def test_matrices_of_parts_add_up_and_ignored_pixels_count_nowhere(labels, predicted):
    whole = count_pairs(labels, predicted, 3)
    assert (count_pairs(labels[:2], predicted[:2], 3) + count_pairs(labels[2:], predicted[2:], 3) == whole).all()
    assert whole.sum() == (labels != IGNORE_INDEX).sum()
    for one in range(3):
        for other in range(3):
            assert whole[one, other] == ((labels == one) & (predicted == other)).sum()


def test_scores_are_those_of_the_textbook():
    found = Confusion(np.array([[50, 10], [5, 35]]))
    assert found.iou == pytest.approx([50 / 65, 35 / 50])
    assert found.precision == pytest.approx([50 / 55, 35 / 45])
    assert found.recall == pytest.approx([50 / 60, 35 / 40])
    assert found.f1 == pytest.approx([100 / 115, 70 / 85])
    assert found.accuracy == pytest.approx(0.85)
    assert found.balanced_accuracy == pytest.approx((50 / 60 + 35 / 40) / 2)
    chance = (60 * 55 + 40 * 45) / 100**2
    assert found.kappa == pytest.approx((0.85 - chance) / (1 - chance))


def test_a_class_that_does_not_occur_has_no_score_and_does_not_count_in_means():
    found = Confusion(np.array([[7, 0, 0], [1, 8, 0], [0, 0, 0]]))
    assert np.isnan(found.iou[2])
    assert np.isnan(found.recall[2])
    assert found.mean_iou == pytest.approx((7 / 8 + 8 / 9) / 2)
    assert np.isnan(Confusion(np.zeros((2, 2))).kappa)
