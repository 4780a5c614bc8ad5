"""Scores: one matrix over the whole area, intervals from whole blocks, calibration that adds up, objects matched one to one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swath.evaluation.bootstrap import intervals
from swath.evaluation.calibration import Calibration
from swath.evaluation.confusion import Confusion, count_pairs
from swath.evaluation.objects import match_objects
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


def test_an_interval_holds_the_score_and_is_the_same_for_a_seed():
    random = np.random.default_rng(7)
    shares = random.uniform(0.6, 0.95, 60)
    blocks = np.array([[[round(90 * s), 90 - round(90 * s)], [10, 90]] for s in shares])
    whole = Confusion(blocks.sum(axis=0))
    found = intervals(blocks, 500, seed=3)
    assert found == intervals(blocks, 500, seed=3)
    assert found != intervals(blocks, 500, seed=4)
    for name, values in whole.scores().items():
        for value, interval in zip(np.ravel(values), found[name], strict=True):
            assert interval is not None
            assert interval[0] <= value <= interval[1]
    low, high = found["accuracy"][0]  # type: ignore[misc]
    assert 0.01 < high - low < 0.06


def test_the_interval_is_wider_where_errors_lie_together():
    """The same number of errors, spread evenly or in one block of ten."""
    even = np.tile(np.array([[80, 20], [0, 100]]), (50, 1, 1))
    together = np.tile(np.array([[100, 0], [0, 100]]), (50, 1, 1))
    together[::5] = [[0, 100], [0, 100]]
    assert even.sum(axis=0).tolist() == together.sum(axis=0).tolist()
    one, other = (intervals(blocks, 400, 1)["accuracy"][0] for blocks in (even, together))
    assert one is not None
    assert other is not None
    assert other[1] - other[0] > 10 * (one[1] - one[0])


def test_few_blocks_give_no_interval():
    assert intervals(np.ones((3, 2, 2), np.int64), 100, 1)["iou"] == [None, None]


@given(st.integers(0, 2**32 - 1))
def test_calibration_adds_up_over_parts(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([0, 1, 2, IGNORE_INDEX], np.uint8), (8, 11))
    chances = random.dirichlet(np.ones(3), (8, 11)).transpose(2, 0, 1).astype(np.float32)
    chances[:, 2, 3] = np.nan
    whole = Calibration.of(labels, chances)
    parts = Calibration.of(labels[:3], chances[:, :3]) + Calibration.of(labels[3:], chances[:, 3:])
    assert (whole.counts, whole.right) == (parts.counts, parts.right)
    assert whole.brier == pytest.approx(parts.brier)
    assert whole.error == pytest.approx(parts.error)
    known = (labels != IGNORE_INDEX) & ~np.isnan(chances[0])
    assert whole.pixels == known.sum()


def test_who_is_right_as_often_as_it_says_has_no_calibration_error():
    labels = np.array([[0] * 8 + [1] * 2], np.uint8)
    chances = np.stack([np.full((1, 10), 0.8), np.full((1, 10), 0.2)])
    found = Calibration.of(labels, chances)
    assert found.error == pytest.approx(0)
    assert found.curve() == [(pytest.approx(0.8), 0.8, 10)]
    assert found.brier == pytest.approx((8 * (0.04 + 0.04) + 2 * (0.64 + 0.64)) / 10)
    assert np.isnan(Calibration().error)


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
