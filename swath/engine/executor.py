"""Where calls execute: the contract, and the executor of this very process."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from swath.engine.stop import Stop, StopNow
from swath.engine.work import Outcome, Say, Work, failure, perform
from swath.errors import TaskTimeout


class Executor(Protocol):
    """Takes calls and gives outcomes, in any order. Not thread safe: one engine uses one executor."""

    @property
    def slots(self) -> int:
        """How many calls run at once."""
        ...

    def submit(self, work: Work) -> None:
        """Take a call; returns at once."""
        ...

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Outcomes that are there, waiting up to `timeout_s` for the first. Raises InfrastructureError when the cluster is lost."""
        ...

    def cancel(self) -> None:
        """Forget every call that has not ended; running ones are left to end or are ended with the cluster."""
        ...


class InlineExecutor:
    """This process, one call after the other, for debugging, tests and tiny runs."""

    slots = 1

    def __init__(self, say: Say, stop: Stop) -> None:
        self._say = say
        self._stop = stop
        self._queue: deque[Work] = deque()

    def submit(self, work: Work) -> None:
        self._queue.append(work)

    def wait(self, timeout_s: float) -> list[Outcome]:
        if not self._queue:
            time.sleep(timeout_s)
            return []
        work = self._queue.popleft()
        try:
            with self._stop.in_call(), _time_limit(work.timeout_s):
                return [perform(work, self._say, "inline")]
        except TaskTimeout as error:
            return [failure(work.id, "inline", work.timeout_s or 0, error)]
        except StopNow:
            return []

    def cancel(self) -> None:
        self._queue.clear()


class _Alarm(BaseException):
    """Passes through `except Exception` in a task."""


@contextlib.contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TaskTimeout in the main thread after `seconds`."""
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise TaskTimeout(
            "a time limit cannot be kept off the main thread", remedy="use cluster: local for tasks with timeout_s"
        )

    def ring(_signal: int, _frame: Any) -> None:
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
