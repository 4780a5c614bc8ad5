"""Worker machines go when no call is left for them, and come back for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.cloud.cloud import CloudMachines
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.testing import tasks
from swath.testing.cluster import suite_run
from swath.testing.executor import Harness
from tests.clouds.control import Cloud
from tests.clouds.projects import QUICK
from tests.cluster.specs import gce_spec


@pytest.mark.slow
@pytest.mark.allow_hosts("127.0.0.0/8")
def test_worker_machines_go_when_released_and_come_back_for_another_call(
    gce_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)

    def roles() -> list[str]:
        return sorted(each["labels"]["swath-role"] for each in gce_cloud.alive())

    with (
        suite_run(tmp_path / "state", gce_cloud.names) as run,
        CloudMachines(gce_spec(gce_cloud, workers=1), run.context) as cluster,
    ):
        store = ResultStore(str(tmp_path / "results"))
        harness = Harness(lambda on_output: cluster.executor(on_output, Stop()), store, 90.0)
        try:
            (outcome,) = harness.outcomes(harness.calls(tasks.square, [3]))
            assert harness.value(outcome) == 9
            cluster.release_workers()
            assert gce_cloud.until(lambda: roles() == ["scheduler"], 60)
            (outcome,) = harness.outcomes(harness.calls(tasks.square, [4]))
            assert harness.value(outcome) == 16
            assert roles() == ["scheduler", "worker"]
        finally:
            harness.executor.close()
    assert gce_cloud.empty()
