"""The executor in this very process: one call after the other in the main thread, for debugging, tests and tiny runs."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from types import FrameType

from swath.engine.batch_execution import execute_batch, peak_memory
from swath.engine.call import BatchResult, CallBatch, CallOutcome, OutputListener, failed_outcome
from swath.engine.executors.executor import Executor
from swath.engine.stop import IMPORT_CHECK_S, Stop, StopNow, inside_import
from swath.errors import TaskTimeout

CLIENT_WORKER = "inline"
"""Name of this process as a worker."""


class InlineExecutor:
    """Executes a batch inside of `wait`. `stop` ends the call that runs when a signal comes."""

    slots = 1
    window = 1
    batch_s = 0.05
    """A batch is journalled when it ends: what a kill can cost here is this little."""

    def __init__(self, on_output: OutputListener, stop: Stop) -> None:
        self._on_output = on_output
        self._stop = stop
        self._queue: deque[CallBatch] = deque()

    def submit(self, batch: CallBatch) -> None:
        self._queue.append(batch)

    def wait(self, timeout_s: float) -> list[BatchResult]:
        if not self._queue:
            time.sleep(timeout_s)
            return []
        batch = self._queue.popleft()
        outcomes: list[CallOutcome] = []
        # What was executed before a stop counts.
        with contextlib.suppress(StopNow), self._stop.in_call():
            self._execute(batch, outcomes)
        return [BatchResult(batch.id, CLIENT_WORKER, outcomes, peak_memory())]

    def _execute(self, batch: CallBatch, outcomes: list[CallOutcome]) -> None:
        limit_s = batch.task.policy.timeout_s
        if limit_s is None:
            for outcome in execute_batch(batch, self._on_output, CLIENT_WORKER):
                outcomes.append(outcome)
            return
        began = time.perf_counter()
        for call in batch.calls:
            if time.perf_counter() - began > batch.budget_s:
                return
            try:
                with _time_limit(limit_s):
                    (outcome,) = execute_batch(batch._replace(calls=(call,)), self._on_output, CLIENT_WORKER)
            except TaskTimeout as error:
                outcome = failed_outcome(error, limit_s)
            outcomes.append(outcome)

    def backlog(self, calls: int, seconds: float | None) -> None:
        """One process cannot grow."""

    def close(self) -> None:
        self._queue.clear()


class _Alarm(BaseException):
    """Passes through `except Exception` in a task."""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TaskTimeout in the main thread after `seconds`."""
    if threading.current_thread() is not threading.main_thread():
        raise TaskTimeout(
            "a time limit cannot be enforced off the main thread", remedy="use cluster: local for tasks with timeout_s"
        )

    def ring(_signal: int, frame: FrameType | None) -> None:
        if inside_import(frame):
            signal.setitimer(signal.ITIMER_REAL, IMPORT_CHECK_S)
        else:
            raise _Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Alarm:
        raise TaskTimeout(f"the call took longer than its time limit of {seconds:g} s") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_: type[Executor] = InlineExecutor
