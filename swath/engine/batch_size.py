"""The batch size of a task: how many calls go into one message, from how long its calls took so far."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 4000
"""Calls in a batch at most."""
GROWTH = 16
"""A batch is at most so many times larger than the one before: the first calls may not be like the rest."""
LEAST_S = 0.06
"""Batches are not made shorter than this, in seconds of work, to share the last calls out evenly."""
WEIGHT = 0.5
"""Of the newest batch in the moving mean."""


@dataclass
class BatchSize:
    """The measured duration of a task's calls in one run, and the batch size that follows from it."""

    mean_s: float | None = None
    """Moving mean of one call's seconds on the worker; None until the first call ended."""
    last: int = 0
    """Size of the batch before."""

    def update(self, calls: int, seconds: float) -> None:
        """Add a measurement: so many calls took so many seconds together."""
        if calls:
            mean = max(seconds / calls, 1e-6)
            self.mean_s = mean if self.mean_s is None else WEIGHT * mean + (1 - WEIGHT) * self.mean_s

    def next(self, batch_s: float, left: int | None, slots: int) -> int:
        """Calls in the next batch: about `batch_s` seconds of work, but where `left` calls are the last ones, so few that
        each of `slots` gets some."""
        if self.mean_s is None:
            return 1
        size = min(LARGEST, int(batch_s / self.mean_s), GROWTH * max(1, self.last))
        if left is not None and slots > 1:
            size = min(size, max(left // (2 * slots), int(LEAST_S / self.mean_s)))
        self.last = max(1, size)
        return self.last
