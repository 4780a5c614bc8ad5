from __future__ import annotations

import pytest

from swath.cluster.cloud.limits import POLL, RepairLimits


def test_all_timings_of_a_simulated_cloud_shrink_with_its_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POLL, raising=False)
    assert RepairLimits.from_environment() == RepairLimits()
    monkeypatch.setenv(POLL, "0.5")
    quick = RepairLimits.from_environment()
    assert (quick.poll_s, quick.unlisted_s, quick.silent_s, quick.pause_s) == (0.5, 1.5, 3.0, 0.1)
    assert (quick.failures, quick.max_failures) == (RepairLimits().failures, RepairLimits().max_failures)
    assert quick.scaling.worth_s == 6.0
