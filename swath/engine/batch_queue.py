"""A group of calls: those of one task with one policy, which can travel in one batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from swath.engine.batch_size import BatchSize
from swath.engine.call import Call


@dataclass
class BatchQueue:
    """What is known of one task in this run."""

    limit: int | None
    pace: BatchSize = field(default_factory=BatchSize)
    look: int = 1
    """How many calls to look up at once: more, when none of those before had to be made."""
    filling: list[Call] = field(default_factory=list)
    """Calls for the next batch."""
    since: float | None = None
    """When a turn of the engine first left calls in `filling`, by the monotonic clock."""
    sent: int = 0
    """Batches on their way; each makes one call at a time."""

    def unknown(self, slots: int) -> bool:
        """Whether its pace is not known yet while every slot has a call: what comes next waits, to go in batches of the right size."""
        return self.pace.mean_s is None and self.sent >= slots

    def due(self, now: float, batch_s: float) -> bool:
        """Whether calls have waited for others as long as a batch takes: those of a deep node must not wait for a shallow one."""
        if not self.filling:
            self.since = None
        elif self.since is None:
            self.since = now
        return self.since is not None and now - self.since >= batch_s

    @property
    def busy(self) -> bool:
        """Whether as many batches are on their way as the task's limit allows."""
        return self.limit is not None and self.sent >= self.limit

    @property
    def full(self) -> bool:
        """Whether as many calls are on their way as the task's limit allows."""
        return self.limit is not None and self.sent + bool(self.filling) >= self.limit
