"""How many workers a run is worth: a pure decision, and the part of Dask that brings a cluster there."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from distributed.deploy.adaptive import Adaptive

from swath.spec.clusters.workers import Workers

WORTH_S = 5.0
"""Seconds of work that a worker should have before it: fewer are done before another one is up and warm."""
QUIET_S = 15.0
"""Workers go when they were too many for so long."""
EVERY_S = 1.0
"""How often the number is looked at."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backlog:
    """What is still to be done."""

    calls: int = 0
    """Calls that are ready or on their way."""
    seconds: float | None = None
    """Estimated work in them, in seconds of one worker; None while no call has ended yet."""


@dataclass(frozen=True)
class ScalingUnit:
    """What a cluster grows by: a process on this machine, a machine with its processes in a cloud."""

    processes: int = 1
    worth_s: float = WORTH_S
    """Seconds of work that each process should have before it."""
    quiet_s: float = QUIET_S
    """One goes when it was too many for so long."""


def useful(backlog: Backlog, workers: int, unit: ScalingUnit = ScalingUnit()) -> int:
    """How many workers the backlog keeps busy. While nobody knows how long calls take: twice as many as there are."""
    if backlog.seconds is None:
        processes = min(backlog.calls, max(1, 2 * workers * unit.processes))
    else:
        processes = min(backlog.calls, math.ceil(max(0.0, backlog.seconds) / unit.worth_s))
    return math.ceil(processes / unit.processes)


def wanted(backlog: Backlog, workers: int, quiet_s: float, limits: Workers, unit: ScalingUnit = ScalingUnit()) -> int:
    """How many workers there should be: more at once, fewer only after a quiet time, and always within the limits.

    `workers` is how many there are or are coming, `quiet_s` for how long now fewer would have been enough.
    """
    enough = useful(backlog, workers, unit)
    if enough < workers and quiet_s < unit.quiet_s:
        enough = workers
    return max(limits.min, min(limits.max, enough))


class Autoscaler:
    """Keeps a cluster's workers at the wanted number, in the background: `tell` returns at once and never raises."""

    def __init__(self, cluster: Any, limits: Workers, scaling: type[Scaling] | None = None) -> None:
        self._backlog = Backlog()
        self._limits = limits
        self._quiet_since: float | None = None
        self._lock = threading.Lock()
        self._scaling = (scaling or Scaling)(cluster, self)

    def tell(self, calls: int, seconds: float | None) -> None:
        """What the engine has before it now."""
        with self._lock:
            self._backlog = Backlog(calls, seconds)

    def target(self, workers: int, now: float, unit: ScalingUnit = ScalingUnit()) -> int:
        """The number for this moment, `now` in seconds of a monotonic clock."""
        with self._lock:
            backlog = self._backlog
        if useful(backlog, workers, unit) >= workers:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        quiet_s = 0.0 if self._quiet_since is None else now - self._quiet_since
        return wanted(backlog, workers, quiet_s, self._limits, unit)

    def stop(self) -> None:
        """Leave the number as it is."""
        self._scaling.stop(reason="the run ends")


class Scaling(Adaptive):
    """Dask's own scaling, which retires a worker before it ends it, towards our number.

    Not Dask's target: the scheduler sees only the window of calls that the engine has submitted.
    """

    def __init__(self, cluster: Any, elastic: Autoscaler) -> None:
        self._elastic = elastic
        super().__init__(
            cluster, interval=EVERY_S, minimum=elastic._limits.min, maximum=elastic._limits.max, wait_count=1
        )

    async def target(self) -> int:
        return self._elastic.target(len(self.plan), time.monotonic(), getattr(self.cluster, "unit", ScalingUnit()))

    async def workers_to_close(self, target: int) -> list[Any]:
        """Only idle ones: a call that runs is not made twice."""
        names: list[Any] = await super().workers_to_close(target)
        processing = await self.scheduler.processing(workers=None)
        workers = self.cluster.scheduler_info["workers"]
        busy = {workers[address]["name"] for address, calls in processing.items() if calls and address in workers}
        return [name for name in names if name not in busy]

    async def scale_down(self, workers: Any) -> None:
        # Only retired here: asked to close by the scheduler and by its nanny at once, a worker may wait for both in vain
        # until it is killed, 4 s later.
        await self.scheduler.retire_workers(names=workers, close_workers=False, remove=False)
        cluster: Any = self.cluster
        await cluster.scale_down(workers)

    async def adapt(self) -> None:
        try:
            await super().adapt()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a run goes on with the workers that it has
            log.warning("the number of workers could not be changed: %s", error)


class MachineScaling(Scaling):
    """Dask's scaling where a worker is a machine with several processes."""

    async def workers_to_close(self, target: int) -> list[Any]:
        cluster: Any = self.cluster
        idle: list[str] = await cluster.idle()
        return idle[: max(0, len(cluster.observed) - target)]

    async def scale_down(self, workers: Any) -> None:
        cluster: Any = self.cluster
        await cluster.scale_down(workers)  # which retires them first
