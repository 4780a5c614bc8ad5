"""The pace of a task: how long its calls take, and so how many of them go into one message."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 4000
GROWTH = 16
"""A batch is at most so many times larger than the one before: the first calls may not be like the rest."""
LEAST_S = 0.06
"""Batches are not made shorter than this, in seconds of work, to share the last calls out evenly."""
WEIGHT = 0.5
"""Of the newest batch in the mean."""


@dataclass
class BatchSize:
    """What has been measured of one task in one run."""

    mean_s: float | None = None
    """Of one call, as the worker spends it; None until the first ended."""
    last: int = 0

    def learn(self, calls: int, seconds: float) -> None:
        """So many calls took so long together."""
        if calls:
            mean = max(seconds / calls, 1e-6)
            self.mean_s = mean if self.mean_s is None else WEIGHT * mean + (1 - WEIGHT) * self.mean_s

    def size(self, batch_s: float, left: int | None, slots: int) -> int:
        """Calls for the next batch: about `batch_s` seconds of work, but where `left` calls are the last ones, so few that
        every one of `slots` gets some."""
        if self.mean_s is None:
            return 1
        size = min(LARGEST, int(batch_s / self.mean_s), GROWTH * max(1, self.last))
        if left is not None and slots > 1:
            size = min(size, max(left // (2 * slots), int(LEAST_S / self.mean_s)))
        self.last = max(1, size)
        return self.last
