"""Two executors as one: the client's process for tasks that ask for it, and a cluster that starts when the first other call comes.

So a run whose calls all have results needs no cluster, and a wrong area or model is found before one is paid for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from swath.engine.call import BatchResult, CallBatch
from swath.engine.executors.executor import Executor
from swath.engine.executors.inline import InlineExecutor


class RoutedExecutor:
    """Sends each batch where its task's policy says. `start` starts the cluster and returns its executor."""

    def __init__(self, client: InlineExecutor, start: Callable[[], Executor]) -> None:
        self._client = client
        self._start = start
        self._cluster: Executor | None = None
        self._on_client = 0
        """Batches that the client has not executed yet."""
        self._waiting: deque[CallBatch] = deque()
        """For the cluster, while it is not started."""

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
            self._on_client += 1
            self._client.submit(batch)
        elif self._cluster is None and self._on_client:
            self._waiting.append(batch)  # a look at the outside world here may show that no cluster is needed
        else:
            self._started().submit(batch)

    def _started(self) -> Executor:
        if self._cluster is None:
            self._cluster = self._start()
        return self._cluster

    def wait(self, timeout_s: float) -> list[BatchResult]:
        if self._on_client:
            self._on_client -= 1
            ended = self._client.wait(0.0)
            return ended + (self._cluster.wait(0.0) if self._cluster else [])
        while self._waiting:
            self._started().submit(self._waiting.popleft())
        return (self._cluster or self._client).wait(timeout_s)

    def backlog(self, calls: int, seconds: float | None) -> None:
        if self._cluster is not None:
            self._cluster.backlog(calls, seconds)

    def close(self) -> None:
        self._on_client = 0
        self._waiting.clear()
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


_: type[Executor] = RoutedExecutor
