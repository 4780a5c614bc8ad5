"""A connection to the scheduler that is lost is made again in time; the scheduler is lost when it is not."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.core import Status

from swath.cluster.cloud.vm_cluster import VmCluster
from tests.cluster.cloud.memory_cluster import LIMITS, MemoryCluster, with_cluster


class Connection:
    """Of a scheduler, which reports workers."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.name = ""

    async def write(self, message: Any) -> None:
        self.written.append(message)

    async def read(self) -> dict[str, Any]:
        return {"workers": {"tls://m-0": {"name": "m-0", "resources": {}}}}

    async def close(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("answers", [[None], [OSError("cut"), TimeoutError(), None], [OSError("cut")] * 1000])
def test_a_lost_connection_is_made_again_within_its_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answers: list[Exception | None]
) -> None:
    left, watched = list(answers), list[Any]()
    found = Connection()

    async def live_comm() -> Connection:
        if (error := left.pop(0)) is not None:
            raise error
        return found

    async def watch(cluster: Any, comm: Any) -> None:
        watched.append(comm)
        if comm is found:
            cluster.status = Status.closing

    async def test(cluster: MemoryCluster) -> None:
        monkeypatch.setattr(VmCluster.__mro__[1], "_watch_worker_status", watch)
        cluster.scheduler_comm = SimpleNamespace(live_comm=live_comm, close_rpc=cluster.there.close_rpc)
        began = time.monotonic()
        await cluster._watch_worker_status("first")
        if answers[-1] is None:
            assert watched == ["first", found]
            assert found.written == [{"op": "subscribe_worker_status"}]
            assert cluster._processes.count("m") == 1
            assert cluster._watch_worker_status_comm is found
        else:
            assert watched == ["first"]
            assert time.monotonic() - began >= LIMITS.reconnect_s
        cluster.status = Status.created

    with_cluster(test)
    assert "the connection to the scheduler was lost" in caplog.text


def test_a_scheduler_is_lost_when_its_connection_is_not_made_again() -> None:
    async def test(cluster: MemoryCluster) -> None:
        assert not cluster.scheduler_lost
        cluster._watch_worker_status_task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert cluster.scheduler_lost
        cluster.status = Status.closing
        assert not cluster.scheduler_lost
        cluster.status = Status.running

    with_cluster(test)
