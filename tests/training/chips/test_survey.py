"""Surveys count what numpy counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from swath.spec.fields.split import ColumnSplit
from swath.training.split.split import TEST, TRAIN, VALIDATION
from tests.training.chips.images import pair, planned


def test_the_survey_counts_what_numpy_counts(tmp_path: Path) -> None:
    images, pixels, labels = pair(tmp_path, (1100, 1300))
    found = planned(images, ColumnSplit(validation=0.25, test=0.1))
    splits = found.split.of_scenes(images[0].scenes, found.surveys[0].window)
    for split in (TRAIN, VALIDATION, TEST):
        for number in (0, 1):
            assert found.counts[split, number] == ((splits == split) & (labels == number)).sum()
    trained = pixels[:, splits == TRAIN].astype(np.float64)
    np.testing.assert_allclose(found.moments.mean, trained.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(found.moments.stddev, trained.std(axis=1), rtol=1e-9)
    assert found.moments.count == trained.shape[1]
