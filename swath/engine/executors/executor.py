"""The contract of executors: batches of calls go in, their results come back in any order."""

from __future__ import annotations

from typing import Protocol

from swath.engine.call import BatchResult, CallBatch


class Executor(Protocol):
    """Takes batches of calls and gives answers, in any order. Not thread safe: one engine uses one executor."""

    @property
    def slots(self) -> int:
        """How many calls run at once."""
        ...

    @property
    def window(self) -> int:
        """How many batches it wants to have at once, so that no slot waits."""
        ...

    @property
    def batch_s(self) -> float:
        """How many seconds of work a batch should hold."""
        ...

    def submit(self, batch: CallBatch) -> None:
        """Take a batch; returns at once."""
        ...

    def wait(self, timeout_s: float) -> list[BatchResult]:
        """Answers that are there, waiting up to `timeout_s` for the first. Raises InfrastructureError when the cluster is lost."""
        ...

    def backlog(self, calls: int, seconds: float | None) -> None:
        """How much there is to do: calls that are ready or on their way, and the seconds that they will take, if known."""
        ...

    def cancel(self) -> None:
        """Forget every call that has not ended; running ones are left to end or are ended with the cluster."""
        ...
