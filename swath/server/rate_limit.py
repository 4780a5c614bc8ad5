"""Limits how fast one token or one address may ask."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from swath.server.refusals import TooMany


@dataclass(frozen=True)
class Rate:
    """So many requests a second on average, and so many at once."""

    per_s: float
    burst: float


class RateLimit:
    """A bucket for each asker, in memory: several server processes allow as many times more."""

    def __init__(self, rate: Rate, askers: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._askers = askers
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, asker: str) -> None:
        """Count one request. Raises TooMany."""
        now = self._clock()
        left, at = self._buckets.pop(asker, (self._rate.burst, now))
        left = min(self._rate.burst, left + (now - at) * self._rate.per_s)
        allowed = left >= 1
        self._buckets[asker] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._askers:
            self._buckets.popitem(last=False)
        if not allowed:
            raise TooMany("too many requests", remedy=f"at most {self._rate.per_s:g} a second; wait a moment")
