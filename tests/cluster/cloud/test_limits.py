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
    assert quick.stragglers_s == RepairLimits().stragglers_s / 10
    assert (quick.scaling.worth_s, quick.scaling.idle_s) == (6.0, 12.0)
    assert (quick.boot_s, quick.unreached_s, quick.reconnect_s) == (
        RepairLimits().boot_s, RepairLimits().unreached_s, RepairLimits().reconnect_s,
    )  # fmt: skip
