"""Clients that are killed at random moments leave no machine. 4 kills on each cloud, one in each quarter of a run;
`make crashtest-clouds` makes 200."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clouds.control import Cloud
from tests.clouds.kills import loop

KILLS = 4


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["ec2", "gce"])
def test_killed_clients_leave_no_machine(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cloud: Cloud = request.getfixturevalue(f"{kind}_cloud")
    results = loop(cloud, KILLS, tmp_path, seed=5)
    assert not results.problems, "; ".join(results.problems)
    assert results.kills >= KILLS
    assert results.machines, "no kill met a machine"
