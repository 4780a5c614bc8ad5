"""Calibration: it adds up over parts, and is zero where confidence is accuracy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.evaluation.calibration import Calibration
from swath.spec.fields.labels import IGNORE_INDEX


@given(st.integers(0, 2**32 - 1))
def test_calibration_adds_up_over_parts(seed):
    random = np.random.default_rng(seed)
    labels = random.choice(np.array([0, 1, 2, IGNORE_INDEX], np.uint8), (8, 11))
    chances = random.dirichlet(np.ones(3), (8, 11)).transpose(2, 0, 1).astype(np.float32)
    chances[:, 2, 3] = np.nan
    whole = Calibration.of(labels, chances)
    parts = Calibration.of(labels[:3], chances[:, :3]) + Calibration.of(labels[3:], chances[:, 3:])
    assert (whole.counts, whole.correct) == (parts.counts, parts.correct)
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


def test_confidences_are_in_tenths():
    labels = np.zeros((1, 3), np.uint8)
    first = np.array([[0.51, 0.59, 0.61]])
    found = Calibration.of(labels, np.stack([first, 1 - first]))
    assert found.curve() == [(pytest.approx(0.55), 1.0, 2), (pytest.approx(0.61), 1.0, 1)]
