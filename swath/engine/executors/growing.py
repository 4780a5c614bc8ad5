"""An executor that begins in the client's process, and goes on with a cluster when the work that is left is worth its start.

Calls of tasks that are `light` are executed here; the first other one starts the cluster. While its workers import their libraries this
process goes on with one batch at a time, until the first result of a worker is there.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from swath.engine.call import BatchResult, CallBatch
from swath.engine.executors.executor import Executor
from swath.engine.executors.inline import InlineExecutor
from swath.errors import InfrastructureError


@dataclass(frozen=True)
class GrowthLimits:
    """When a cluster is worth its start."""

    start_s: float = 4.0
    """What it costs: seconds until workers are up and have imported the libraries that this process has already, and until they
    have ended."""
    calls: int = 256
    """So many calls of unknown duration are worth it."""


def slowdown() -> float:
    """By the load average: of N cores on which 3 N processes want to run, each gets a third."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class GrowingExecutor:
    """Executes batches in this process until more work is left than a start of the cluster costs.

    begin: called with the first light call, gives the executor in this process. start: starts the cluster, and gives its executor.
    workers: of the cluster, at most. on_failure: gets the error when the cluster does not come up although it was wanted for its
    speed only: the calls go on in this process.
    """

    def __init__(
        self,
        begin: Callable[[], Executor],
        start: Callable[[], Executor],
        workers: int,
        on_failure: Callable[[InfrastructureError], None],
        limits: GrowthLimits = GrowthLimits(),
        slowdown: Callable[[], float] = slowdown,
    ) -> None:
        """slowdown: how many times as long everything takes now because the machine has other work."""
        self._begin = begin
        self._start = start
        self._workers = workers
        self._on_failure = on_failure
        self._limits = limits
        self._slowdown = slowdown
        self._here: Executor | None = None
        self._cluster: Executor | None = None
        self._waiting: deque[CallBatch] = deque()
        """Batches for this process."""
        self._warm = False
        """Whether the cluster has given a result."""

    @property
    def slots(self) -> int:
        return self._cluster.slots if self._cluster is not None else InlineExecutor.slots

    @property
    def window(self) -> int:
        return self._cluster.window if self._cluster is not None else InlineExecutor.window

    @property
    def batch_s(self) -> float:
        return self._cluster.batch_s if self._cluster is not None else InlineExecutor.batch_s

    def submit(self, batch: CallBatch) -> None:
        policy = batch.task.policy
        light = policy.light and not policy.resources
        if light and (self._cluster is None or not (self._warm or self._waiting)):
            self._waiting.append(batch)
        else:
            self._grow().submit(batch)

    def _grow(self) -> Executor:
        if self._cluster is None:
            self._cluster = self._start()
        return self._cluster

    def wait(self, timeout_s: float) -> list[BatchResult]:
        results: list[BatchResult] = []
        if self._cluster is not None:
            results = self._cluster.wait(0.0 if self._waiting else timeout_s)
            self._warm = self._warm or bool(results)
            if not self._waiting:
                return results
        if self._here is None:
            self._here = self._begin()
        if self._waiting:
            self._here.submit(self._waiting.popleft())
        return results + self._here.wait(timeout_s)

    def backlog(self, calls: int, seconds: float | None) -> None:
        if self._cluster is not None:
            self._cluster.backlog(calls, seconds)
        elif self._worth(calls, seconds):
            try:
                self._grow()
            except InfrastructureError as error:
                self._workers = 0
                self._on_failure(error)

    def _worth(self, calls: int, seconds: float | None) -> bool:
        """Whether workers end sooner with the work that is left, their start included."""
        if self._workers < 2 or calls < 2:
            return False
        if seconds is None:
            return calls >= self._limits.calls
        return seconds * (1 - 1 / min(self._workers, calls)) > self._limits.start_s * self._slowdown()

    def close(self) -> None:
        self._waiting.clear()
        for executor in (self._here, self._cluster):
            if executor is not None:
                executor.close()


_: type[Executor] = GrowingExecutor
