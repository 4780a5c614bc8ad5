"""The contract of executors: batches of calls go in, their results come back in any order.

A new executor is checked by swath.testing.executor.
"""

from __future__ import annotations

from typing import Protocol

from swath.engine.call import BatchResult, CallBatch


class Executor(Protocol):
    """Executes the batches of one engine. Not thread safe.

    What calls print, log and report goes to an OutputListener that the executor is made with, on the thread that calls
    `wait` and in the order in which one call sent it, and before the result of its batch is returned.
    """

    @property
    def slots(self) -> int:
        """How many calls run at once."""
        ...

    @property
    def window(self) -> int:
        """How many batches it wants to have at once, so that no slot is idle."""
        ...

    @property
    def batch_s(self) -> float:
        """How many seconds of work a batch should have."""
        ...

    def submit(self, batch: CallBatch) -> None:
        """Take a batch; returns at once. A call's time limit, `batch.task.policy.timeout_s`, is the executor's to enforce; its
        retries are the engine's."""
        ...

    def wait(self, timeout_s: float) -> list[BatchResult]:
        """Results of batches, after waiting up to `timeout_s` for the first. Raises InfrastructureError when the cluster is lost."""
        ...

    def backlog(self, calls: int, seconds: float | None) -> None:
        """Takes note of how much there is to do: calls that are ready or in flight, and their seconds of work, if known."""
        ...

    def close(self) -> None:
        """Drop every call that has not ended: running ones end by themselves, or with the cluster. Called at the end of a run;
        a second time it does nothing."""
        ...
