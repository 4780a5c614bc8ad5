"""The queue of calls that can share a batch: those of one task with one policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from swath.engine.batch_size import BatchSize
from swath.engine.call import Call


@dataclass
class BatchQueue:
    """Calls of one task that wait to be submitted."""

    limit: int | None
    """Most calls of the task that may run at once."""
    size: BatchSize = field(default_factory=BatchSize)
    lookahead: int = 1
    """Calls whose earlier results are looked up at once: more, while none of those before had to be executed."""
    pending: list[Call] = field(default_factory=list)
    """Calls for the next batch."""
    pending_since: float | None = None
    """When a turn of the engine first left calls in `pending`, by the monotonic clock."""
    in_flight: int = 0
    """Batches that are submitted and have not come back; each runs one call at a time."""

    def must_wait(self, slots: int) -> bool:
        """Whether calls are not timed yet while every slot has one: further calls wait, to go in batches of the right size."""
        return self.size.mean_s is None and self.in_flight >= slots

    def due(self, now: float, batch_s: float) -> bool:
        """Whether calls are pending as long as a batch takes: those of a deep node must not wait for a shallow one."""
        if not self.pending:
            self.pending_since = None
        elif self.pending_since is None:
            self.pending_since = now
        return self.pending_since is not None and now - self.pending_since >= batch_s

    @property
    def busy(self) -> bool:
        """Whether as many batches are in flight as the task's limit allows."""
        return self.limit is not None and self.in_flight >= self.limit

    @property
    def full(self) -> bool:
        """Whether as many calls are pending or in flight as the task's limit allows."""
        return self.limit is not None and self.in_flight + bool(self.pending) >= self.limit
