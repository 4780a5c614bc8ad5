from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed.process import AsyncProcess

from swath.cluster.local.local import Local
from swath.cluster.local.repaired_cluster import LocalRepairLimits
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import LocalCluster
from tests.waiting import until

QUICK = LocalRepairLimits(poll_s=0.1, stopped_s=0.5, absent_s=20)
NEVER = LocalRepairLimits(poll_s=0.1, stopped_s=1000, absent_s=1000, close_s=5)


def local(folder: Path, limits: LocalRepairLimits = QUICK, workers: int = 1) -> Local:
    return Local(LocalCluster(workers=workers), folder, repair=limits)


def cluster_of(running: Local) -> Any:
    return running.session.client.cluster


def works(running: Local) -> bool:
    return bool(running.session.client.submit(abs, -1, pure=False).result(30) == 1)


def test_a_worker_whose_nanny_has_ended_for_good_is_replaced(tmp_path: Path) -> None:
    with local(tmp_path) as running:
        cluster = cluster_of(running)
        for _ in range(2):
            (nanny,) = cluster.workers.values()
            running.session.client.sync(nanny.close)
            until(lambda nanny=nanny: cluster.workers and nanny not in list(cluster.workers.values()), 30)
            assert works(running)


def test_a_worker_that_is_restarted_several_times_in_a_row_stays(tmp_path: Path) -> None:
    import dask

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "0.2s"}), local(tmp_path) as running:
        for _ in range(3):
            running.session.client.restart_workers(list(cluster_of(running).scheduler_info["workers"]), timeout=30)
        until(lambda: running.session.workers == 1, 30)
        assert works(running)


def test_a_stopped_worker_is_replaced(tmp_path: Path) -> None:
    with local(tmp_path) as running:
        (pid,) = cluster_of(running).pids
        os.kill(pid, signal.SIGSTOP)
        until(lambda: not psutil.pid_exists(pid), 10)
        until(lambda: running.session.workers == 1, 30)
        assert works(running)


def test_a_cluster_with_a_stopped_worker_closes_in_seconds_and_leaves_no_process(tmp_path: Path) -> None:
    with local(tmp_path, NEVER, workers=2) as running:
        assert works(running)
        pids = cluster_of(running).pids
        os.kill(pids[0], signal.SIGSTOP)
        running.session.client.submit(time.sleep, 60, pure=False)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 5)


def kill_starting(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Kill the first worker processes as soon as they have started. Returns the list of their pids."""
    killed: list[int] = []
    start = AsyncProcess.start

    def start_and_kill(process: Any) -> Any:
        async def work() -> None:
            await start(process)
            if len(killed) < times:
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)

        return work()

    monkeypatch.setattr(AsyncProcess, "start", start_and_kill)
    return killed


def test_a_worker_that_is_killed_while_the_cluster_starts_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed = kill_starting(monkeypatch, 1)
    with local(tmp_path, workers=2) as running:
        assert len(killed) == 1
        assert running.session.workers == 2
        assert works(running)


def test_workers_that_die_one_after_the_other_while_they_start_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed = kill_starting(monkeypatch, 1000)
    with pytest.raises(InfrastructureError, match=r"the local cluster of 1 workers did not come up: .*failed to start"):
        local(tmp_path).__enter__()
    assert len(killed) < 10
