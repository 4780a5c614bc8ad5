"""Metrics of an epoch, by the names that a spec has for them."""

from __future__ import annotations

import numpy as np
import pytest

from swath.training.loop.epochs import Epoch, scores_of_counts


def test_iou_mean_and_accuracy_follow_from_the_confusion_matrix() -> None:
    iou, mean, accuracy = scores_of_counts(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]))
    assert iou == (8 / 11, 9 / 12, None)
    assert mean == pytest.approx((8 / 11 + 9 / 12) / 2)
    assert accuracy == 0.85


def test_of_no_pixels_nothing_is_known() -> None:
    assert scores_of_counts(np.zeros((2, 2), np.int64)) == ((None, None), None, None)


def test_a_metric_is_found_by_its_name_in_a_spec() -> None:
    epoch = Epoch(1, 6, 0.5, 0.001, 3.0, 0.6, ((8, 2), (1, 9)), (0.7, 0.8), 0.75, 0.85)
    classes = ("land", "water")
    names = ("mean_iou", "accuracy", "loss", "land", "water")
    assert [epoch.metric(name, classes) for name in names] == [0.75, 0.85, 0.6, 0.7, 0.8]
