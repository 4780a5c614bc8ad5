"""Two executors as one: this process for tasks that ask for it, and a cluster that comes up when the first other call comes.

So a run whose calls are all finished needs no cluster, and a wrong area or model is found before one is paid for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from swath.engine.call import BatchResult, CallBatch
from swath.engine.executors.executor import Executor
from swath.engine.executors.inline import InlineExecutor


class RoutedExecutor:
    """Sends each call where its task's policy says."""

    def __init__(self, client: InlineExecutor, start: Callable[[], Executor]) -> None:
        self._client = client
        self._start = start
        self._cluster: Executor | None = None
        self._here = 0
        self._waiting: deque[CallBatch] = deque()

    @property
    def slots(self) -> int:
        return self._cluster.slots if self._cluster else 1

    @property
    def window(self) -> int:
        return self._cluster.window if self._cluster else 4

    @property
    def batch_s(self) -> float:
        return (self._cluster or self._client).batch_s

    def submit(self, batch: CallBatch) -> None:
        if batch.task.policy.on_client:
            self._here += 1
            self._client.submit(batch)
            return
        if self._cluster is None and self._here:
            self._waiting.append(batch)  # what is looked at here may show that no cluster is needed
        else:
            self._running().submit(batch)

    def _running(self) -> Executor:
        if self._cluster is None:
            self._cluster = self._start()
        return self._cluster

    def wait(self, timeout_s: float) -> list[BatchResult]:
        if self._here:
            self._here -= 1
            ended = self._client.wait(0.0)
            return ended + (self._cluster.wait(0.0) if self._cluster else [])
        while self._waiting:
            self._running().submit(self._waiting.popleft())
        return (self._cluster or self._client).wait(timeout_s)

    def backlog(self, calls: int, seconds: float | None) -> None:
        if self._cluster is not None:
            self._cluster.backlog(calls, seconds)

    def cancel(self) -> None:
        self._here = 0
        self._waiting.clear()
        self._client.cancel()
        if self._cluster is not None:
            self._cluster.cancel()


_: type[Executor] = RoutedExecutor
