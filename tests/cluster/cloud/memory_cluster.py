"""A VmCluster whose cloud and scheduler are in memory, on the event loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from distributed.core import Status
from tornado.ioloop import IOLoop

from swath.cluster.cloud.limits import RepairLimits
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.workers import tls
from tests.cluster.cloud.providers import MemoryCloud
from tests.cluster.specs import gcp_spec

SECURITY = tls.run_security()
LIMITS = RepairLimits(poll_s=0.01, stragglers_s=0.05, reconnect_s=0.2, answer_s=0.1)


class MemoryScheduler:
    """What a cluster asks of its scheduler."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.asked: list[tuple[str, Any]] = []
        self.busy: dict[str, list[str]] = {}
        self.error: Exception | None = None

    async def get_metadata(self, keys: list[str], default: Any) -> dict[str, int]:
        self.asked.append(("metadata", keys))
        return dict(self.counts)

    async def processing(self, workers: object) -> dict[str, list[str]]:
        return self.busy

    async def retire_workers(self, **options: Any) -> None:
        self.asked.append(("retire", options))
        if self.error is not None:
            raise self.error

    async def terminate(self) -> None:
        self.asked.append(("terminate", None))
        if self.error is not None:
            raise self.error

    async def close_rpc(self) -> None:
        self.asked.append(("closed", None))


class MemoryCluster(VmCluster):
    """Not started; `up` is as if it were."""

    def __init__(self, limits: RepairLimits = LIMITS, **fields: Any) -> None:
        self.cloud = MemoryCloud()
        self.there = MemoryScheduler()
        spec = gcp_spec(**{"workers": {"min": 1, "max": 4}, "start_timeout_s": 60, **fields})
        super().__init__(spec, "r-1", SECURITY, IOLoop.current(), self.cloud, limits)
        self.scheduler = VmProcess(self, "r-1-scheduler", "scheduler")
        self.scheduler.address = "tls://10.0.0.1:8786"

    def up(self) -> MemoryCluster:
        self.status, self.scheduler_comm = Status.running, self.there
        self._watch_worker_status_task = asyncio.ensure_future(asyncio.sleep(60))
        return self

    async def end(self) -> None:
        if self._watch_worker_status_task is not None:
            self._watch_worker_status_task.cancel()
        self._watch_worker_status_task = None  # type: ignore[assignment]
        await self.shut_down()

    def join(self, *names: str, **resources: float) -> None:
        """Worker processes come to the scheduler."""
        workers = {f"tls://{name}": {"name": name, "resources": resources} for name in names}
        self._update_worker_status("add", {"workers": workers})

    async def planned(self, n: int) -> list[str]:
        """Names of n machines that were launched."""
        self.scale(n)
        await until(lambda: len(self.workers) == n and all(each.machine for each in self.workers.values()))
        return list(self.worker_spec)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it has not happened within 10 s")


def with_cluster(test: Callable[[MemoryCluster], Awaitable[None]], up: bool = True, **fields: Any) -> None:
    """Run a test on the event loop of a cluster, which is closed afterwards."""

    async def go() -> None:
        cluster = MemoryCluster(**fields)
        if up:
            cluster.up()
        try:
            await test(cluster)
        finally:
            await cluster.end()

    asyncio.run(asyncio.wait_for(go(), 30))
