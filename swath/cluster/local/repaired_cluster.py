"""A local Dask cluster whose workers are replaced when they are lost for good.

Dask's nannies restart a worker process that ends, but one nanny may end itself: its worker died while it started, or is away at the
moment when SpecCluster looks for workers that were lost. Dask then has a worker less until the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import distributed
from distributed.core import Status
from distributed.deploy.cluster import Cluster

from swath.cluster.workers.stopped_processes import STOPPED_S, StoppedProcesses

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LocalRepairLimits:
    """When a worker counts as lost. In seconds."""

    poll_s: float = 1.0
    """Between two looks at the workers."""
    stopped_s: float = STOPPED_S
    """A worker process that is stopped for so long is killed, and started again by its nanny."""
    absent_s: float = 60.0
    """A worker that is not at the scheduler for so long is replaced, with its nanny."""
    close_s: float = 10.0
    """For closing; worker processes that are left then are killed."""


class RepairedLocalCluster(distributed.LocalCluster):
    """A LocalCluster with a repair. Starts without workers: `scale` asks for them, and a worker that does not start is replaced."""

    workers: dict[Any, Any]
    worker_spec: dict[Any, Any]
    scheduler_info: Any
    status: Status

    def __init__(self, limits: LocalRepairLimits = LocalRepairLimits(), **options: Any) -> None:
        self._limits = limits
        self._absent_since: dict[Any, float] = {}
        self._stopped = StoppedProcesses(max(1, round(limits.stopped_s / limits.poll_s)))
        self._repair: asyncio.Task[None] | None = None
        self.failures = 0
        """How often workers did not start."""
        self.last_error = ""
        """Why a worker did not start; empty when all did."""
        base: Any = super()
        base.__init__(n_workers=0, **options)

    @property
    def pids(self) -> list[int]:
        """Processes of the workers, also of those that are starting."""
        nannies: list[Any] = list(self._created)
        return [nanny.pid for nanny in nannies if nanny.pid]

    async def _start(self) -> None:
        base: Any = super()
        await base._start()
        self._repair = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while self.status == Status.running:
            await asyncio.sleep(self._limits.poll_s)
            for pid in self._stopped.look(self.pids):
                log.warning("worker process %d was stopped for %g s: it is restarted", pid, self._limits.stopped_s)
            for name in list(self.workers):
                if self._lost(name):
                    await self._replace(name)
            if set(self.worker_spec) - set(self.workers):
                self._ask_for_workers()

    def _ask_for_workers(self) -> None:
        base: Any = super()
        base._correct_state()

    def _lost(self, name: Any) -> bool:
        """Whether the nanny of a worker has ended, or the worker is away for too long."""
        nanny = self.workers[name]
        if nanny.status in (Status.closed, Status.failed):
            return True
        if any(worker["name"] == name for worker in self.scheduler_info["workers"].values()):
            self._absent_since.pop(name, None)
            return False
        since = self._absent_since.setdefault(name, time.monotonic())
        return time.monotonic() - since > self._limits.absent_s

    async def _replace(self, name: Any) -> None:
        log.warning("worker %s is lost: another one is started", name)
        nanny = self.workers.pop(name)
        self._absent_since.pop(name, None)
        with contextlib.suppress(Exception):  # a nanny that has ended may refuse in any way
            await asyncio.wait_for(nanny.close(), self._limits.close_s)

    async def _correct_state_internal(self) -> None:
        try:
            await super()._correct_state_internal()
        except Exception as error:  # noqa: BLE001 - a worker that does not start is replaced at the next look
            self.failures += 1
            self.last_error = f"{type(error).__name__}: {error}"
            log.warning("a worker did not start: %s", self.last_error)

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not SpecCluster's: it closes the nanny of a worker that is away 15 s after an earlier one of its name went, such as one
        # that is restarted for the second time, and starts no other.
        Cluster._update_worker_status(self, op, msg)

    async def _close(self) -> None:
        if self._repair is not None and self._repair is not asyncio.current_task():
            self._repair.cancel()
        base: Any = super()
        await base._close()

    def close_in_time(self) -> None:
        """Close. Worker processes that do not end in time, such as stopped ones, are killed."""
        pids = self.pids
        try:
            self.close(timeout=self._limits.close_s)
        except Exception as error:  # noqa: BLE001 - a library's close may fail in any way
            log.warning("the cluster did not close in good order: %s: %s", type(error).__name__, error)
            for pid in {*pids, *self.pids}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
