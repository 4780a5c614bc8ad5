"""Limits how fast one token or one address may ask."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
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


class StreamLimit:
    """How many answers of one asker may be open at once. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def check(self, asker: str) -> None:
        """Raise TooMany when there may be no other one."""
        if self._open[asker] >= self._most:
            raise TooMany("too many open streams", remedy=f"at most {self._most} at once; close one")

    @contextlib.contextmanager
    def one(self, asker: str) -> Iterator[None]:
        """While an answer is open."""
        self._open[asker] += 1
        try:
            yield
        finally:
            self._open[asker] -= 1
            if not self._open[asker]:
                del self._open[asker]
