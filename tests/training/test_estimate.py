"""Estimates of a training: steps of the spec are exact, others an upper bound from the surveyed windows."""

from __future__ import annotations

from pathlib import Path

from swath.spec.fields.sampling import Sampling
from swath.training.chips.survey import survey_windows
from swath.training.estimate import estimate
from tests.training.chips.images import pair


def test_steps_are_those_of_the_spec_or_at_most_those_that_cover_every_pixel(tmp_path: Path) -> None:
    images, _, _ = pair(tmp_path, (640, 640))
    windows = [(0, window) for window in survey_windows(images[0])]
    exact = estimate(images, windows, 2, Sampling(chip=64, batch=4, steps=7), 3)
    assert (exact["steps"], exact["chips"]) == (21, 84)
    assert exact["read_bytes"] == 640 * 640 * 2
    bound = estimate(images, windows, 2, Sampling(chip=64, batch=4), 3)
    assert bound["steps"] == "at most 75"
