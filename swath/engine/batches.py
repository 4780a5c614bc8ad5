"""Batches of a run: queues of calls by task, batches in flight, and calls that wait for a retry."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from swath.engine.batch_queue import BatchQueue
from swath.engine.call import BatchResult, Call, CallBatch
from swath.engine.executors.executor import Executor
from swath.graph.task import Task

BACKLOG_INTERVAL_S = 1.0
"""The backlog is reported to the executor at most so often."""


class Batches:
    """Submits calls to an executor and knows which are on their way.

    The engine works in turns. At the beginning of each, `begin_turn` reads how much the executor takes; `window`, `slots` and
    `batch_s` stay the same during the turn.
    """

    _executor: Executor

    def __init__(self) -> None:
        self.window, self.slots, self.batch_s = 0, 1, 0.0
        self._queues: dict[Any, BatchQueue] = {}
        self._in_flight: dict[int, tuple[CallBatch, BatchQueue]] = {}
        self._singles: deque[Call] = deque()
        """Calls that go alone: their batch was lost, or they are retried."""
        self._retries: list[tuple[float, int, Call]] = []
        """A heap by the time at which each is due."""
        self._numbers = itertools.count(1)
        self._backlog_at = time.monotonic()

    def queue_of(self, target: Task) -> BatchQueue:
        """The queue of a task's calls."""
        policy = target.policy
        alike = (
            target.fn,
            target.name,
            policy.limit,
            policy.timeout_s,
            policy.on_client,
            policy.light,
            str(policy.resources),
        )
        return self._queues.setdefault(alike, BatchQueue(policy.limit))

    @property
    def has_room(self) -> bool:
        """Whether the executor takes another batch in this turn."""
        return len(self._in_flight) < self.window

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight and nothing waits for a retry."""
        return not (self._in_flight or self._retries or self._singles)

    def next_retry_s(self) -> float | None:
        """Seconds until the next retry is due; None when there is none."""
        return max(0.0, self._retries[0][0] - time.monotonic()) if self._retries else None

    # --- to the executor

    def begin_turn(self, executor: Executor) -> None:
        """Submit what has waited long enough: retries that are due, single calls, and queues with an overdue batch."""
        self._executor = executor
        self.window, self.slots, self.batch_s = executor.window, executor.slots, executor.batch_s
        now = time.monotonic()
        while self._retries and self._retries[0][0] <= now:
            self._singles.append(heapq.heappop(self._retries)[2])
        for _ in range(len(self._singles)):
            if not self.has_room:
                break
            call = self._singles.popleft()
            queue = self.queue_of(call.context.task)
            if queue.full:
                self._singles.append(call)
            else:
                self._submit([call], queue)
        for queue in self._queues.values():
            if queue.due(now, self.batch_s) and self.has_room and not queue.busy:
                self.submit(queue, self.next_size(queue, len(queue.pending)))
                queue.pending_since = None

    def next_size(self, queue: BatchQueue, left: int | None) -> int:
        """Calls in the next batch of a queue, of which `left` are ready."""
        return queue.size.next(self.batch_s, left, self.slots)

    def submit(self, queue: BatchQueue, size: int) -> None:
        """Submit the first `size` pending calls of a queue as one batch."""
        calls = queue.pending[:size]
        del queue.pending[:size]
        self._submit(calls, queue)

    def submit_pending(self) -> None:
        """Submit all pending calls for which there is room."""
        for queue in self._queues.values():
            while queue.pending and self.has_room and not queue.busy:
                self.submit(queue, self.next_size(queue, len(queue.pending)))

    def _submit(self, calls: Sequence[Call], queue: BatchQueue) -> None:
        batch = CallBatch(next(self._numbers), tuple(calls), 2 * self._executor.batch_s)
        queue.in_flight += 1
        self._in_flight[batch.id] = batch, queue
        self._executor.submit(batch)

    def retry(self, call: Call, delay_s: float) -> None:
        """Submit a call again after a delay, in a batch of its own."""
        heapq.heappush(self._retries, (time.monotonic() + delay_s, next(self._numbers), call))

    # --- from the executor

    def complete(self, result: BatchResult) -> CallBatch | None:
        """The batch that a result belongs to; None when it was not expected. Calls without an outcome are queued again."""
        if result.batch not in self._in_flight:
            return None
        batch, queue = self._in_flight.pop(result.batch)
        queue.in_flight -= 1
        queue.size.update(len(result.outcomes), sum(outcome.seconds for outcome in result.outcomes))
        return batch

    def requeue(self, calls: Sequence[Call], *, alone: bool) -> None:
        """Queue calls again that came back without an outcome: at the front, or each `alone` because their batch was lost."""
        if alone:
            self._singles.extend(calls)
        elif calls:
            self.queue_of(calls[0].context.task).pending[:0] = calls

    def report_backlog(self, ready: Callable[[], Iterable[tuple[BatchQueue | None, int]]]) -> None:
        """Report to the executor now and then how much there is to do, so that its cluster can grow or shrink.

        `ready` gives queue and number of items of each node with ready ones; no queue where they are steps.
        """
        now = time.monotonic()
        if now - self._backlog_at < BACKLOG_INTERVAL_S:
            return
        self._backlog_at = now
        calls, seconds = 0, 0.0
        unknown = False
        for queue, count in (*ready(), *((queue, len(batch.calls)) for batch, queue in self._in_flight.values())):
            mean = None if queue is None else queue.size.mean_s
            calls += count
            seconds += count * (mean or 0.0)
            unknown = unknown or mean is None
        self._executor.backlog(calls, None if unknown else seconds)
