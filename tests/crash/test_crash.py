"""A short crash test; `make crashtest` is the long one."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.crash.loop import Loop

KILLS = int(os.environ.get("SWATH_TEST_KILLS", "4"))
"""Of each test; as in tests/engine/test_property.py."""


@pytest.mark.slow
@pytest.mark.timeout(400 + 10 * KILLS)
@pytest.mark.parametrize("damage", [False, True], ids=["", "results-damaged"])
def test_runs_killed_at_random_moments_make_what_undisturbed_ones_make(tmp_path: Path, damage: bool) -> None:
    seed = int(os.environ.get("SWATH_CRASH_SEED", random.SystemRandom().randrange(10**6)))
    print(f"SWATH_CRASH_SEED={seed} makes the same choices again")
    tally = Loop(seed, KILLS, tmp_path, damage=damage).go(jobs=2)
    assert tally.failed == []
    assert tally.kills >= KILLS
