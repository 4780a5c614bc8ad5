"""Autoscaling: how many workers the backlog of a run needs, and Dask's adaptive scaling towards that number."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed.deploy.adaptive import Adaptive

from swath.spec.clusters.workers import Workers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backlog:
    """Work that is left."""

    calls: int = 0
    """Calls that are ready or running."""
    seconds: float | None = None
    """Estimated seconds of one worker process for them; None until the first call has ended."""


@dataclass(frozen=True)
class ScalingLimits:
    """When workers are added and removed."""

    worth_s: float = 5.0
    """Seconds of work that each process should have before it: less is done before another process is up and warm."""
    idle_s: float = 15.0
    """A worker is removed when fewer would have been enough for so long."""
    interval_s: float = 1.0
    """Between two decisions."""


def useful_workers(
    backlog: Backlog, workers: int, limits: ScalingLimits = ScalingLimits(), processes_per_worker: int = 1
) -> int:
    """How many workers a backlog keeps busy. While durations are not known: twice as many as there are."""
    if backlog.seconds is None:
        processes = min(backlog.calls, max(1, 2 * workers * processes_per_worker))
    else:
        processes = min(backlog.calls, math.ceil(max(0.0, backlog.seconds) / limits.worth_s))
    return math.ceil(processes / processes_per_worker)


def target_workers(useful: int, workers: int, surplus_s: float, allowed: Workers, limits: ScalingLimits) -> int:
    """How many workers there should be: more at once, fewer only after some time, always within what the spec allows.

    `workers` is how many there are or are starting, `surplus_s` for how long fewer would have been enough.
    """
    if useful < workers and surplus_s < limits.idle_s:
        useful = workers
    return max(allowed.min, min(allowed.max, useful))


class Autoscaler:
    """Scales a cluster of Dask in the background. `update` returns at once and never raises.

    `processes_per_worker`: on clouds a worker of the cluster is a machine with several processes.
    """

    def __init__(
        self,
        cluster: Any,
        allowed: Workers,
        limits: ScalingLimits = ScalingLimits(),
        *,
        scaling: type[Scaling] | None = None,
        processes_per_worker: Callable[[], int] = lambda: 1,
    ) -> None:
        self.allowed = allowed
        self.limits = limits
        self._backlog = Backlog()
        self._processes_per_worker = processes_per_worker
        self._surplus_since: float | None = None
        self._lock = threading.Lock()
        self.scaling = (scaling or Scaling)(cluster, self)

    def update(self, calls: int, seconds: float | None) -> None:
        """Set the backlog: calls that are left, and the estimated seconds of work in them."""
        with self._lock:
            self._backlog = Backlog(calls, seconds)

    def target(self, workers: int, now: float) -> int:
        """How many workers there should be when there are `workers`; `now` in seconds of a monotonic clock."""
        with self._lock:
            backlog = self._backlog
        useful = useful_workers(backlog, workers, self.limits, self._processes_per_worker())
        if useful >= workers:
            self._surplus_since = None
        elif self._surplus_since is None:
            self._surplus_since = now
        surplus_s = 0.0 if self._surplus_since is None else now - self._surplus_since
        return target_workers(useful, workers, surplus_s, self.allowed, self.limits)

    def stop(self) -> None:
        """Stop scaling; workers stay as they are."""
        self.scaling.stop(reason="the run ends")


class Scaling(Adaptive):
    """Dask's adaptive scaling towards an autoscaler's target. It retires a worker before it closes it.

    Dask's own target is not used: the scheduler sees only the batches that the engine has submitted, not the backlog.
    """

    def __init__(self, cluster: Any, autoscaler: Autoscaler) -> None:
        self._autoscaler = autoscaler
        super().__init__(
            cluster,
            interval=autoscaler.limits.interval_s,
            minimum=autoscaler.allowed.min,
            maximum=autoscaler.allowed.max,
            wait_count=1,
        )

    async def target(self) -> int:
        return self._autoscaler.target(len(self.plan), time.monotonic())

    async def workers_to_close(self, target: int) -> list[Any]:
        """Idle workers only, so that no call runs twice."""
        names: list[Any] = await super().workers_to_close(target)
        processing = await self.scheduler.processing(workers=None)
        workers = self.cluster.scheduler_info["workers"]
        busy = {workers[address]["name"] for address, calls in processing.items() if calls and address in workers}
        return [name for name in names if name not in busy]

    async def scale_down(self, workers: Any) -> None:
        # Only retired here. When the scheduler and the nanny both ask a worker to close, it may wait for both in vain, until
        # it is killed 4 s later.
        await self.scheduler.retire_workers(names=workers, close_workers=False, remove=False)
        cluster: Any = self.cluster
        await cluster.scale_down(workers)

    async def adapt(self) -> None:
        try:
            await super().adapt()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the run goes on with the workers that there are
            log.warning("the number of workers could not be changed: %s", error)


class MachineScaling(Scaling):
    """Adaptive scaling of a VmCluster, whose workers are machines with several processes."""

    async def workers_to_close(self, target: int) -> list[Any]:
        cluster: Any = self.cluster
        idle: list[str] = await cluster.idle_machines()
        return idle[: max(0, len(cluster.observed) - target)]

    async def scale_down(self, workers: Any) -> None:
        cluster: Any = self.cluster
        await cluster.scale_down(workers)  # which retires them first
