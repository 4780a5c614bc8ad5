"""Schedules: the instants at which a trigger is due. Arithmetic only: nothing here reads a clock.

Cron expressions follow Debian's cron at changes of the clock: a fixed time that does not exist is due right after the jump, one that
comes twice is due the first time, and fields with `*` follow the time that passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ON_TIME_S = 60.0
"""A due instant that is noticed within so many seconds was not missed."""
MOST_MISSED = 100
"""So many missed instants are made up for at most, with `missed: all`."""

Missed = Literal["skip", "last", "all"]


class Schedule(Protocol):
    """When something is due."""

    def next_after(self, moment: datetime) -> datetime:
        """The first due instant after a moment, in UTC. It does not depend on how often this is asked, or from where."""
        ...


@dataclass(frozen=True)
class CronSchedule:
    """A cron expression of five fields in a time zone."""

    expression: str
    zone: str

    def next_after(self, moment: datetime) -> datetime:
        from cronsim import CronSim

        # A fixed time that comes twice, or a jump, can give an instant that was due already: it is due once.
        found = CronSim(self.expression, moment.astimezone(ZoneInfo(self.zone)))
        return next(due for each in found if (due := each.astimezone(UTC)) > moment)


@dataclass(frozen=True)
class IntervalSchedule:
    """Every so many seconds from an anchor on, whenever it is asked."""

    period_s: float
    anchor: datetime = EPOCH

    def next_after(self, moment: datetime) -> datetime:
        period = timedelta(seconds=self.period_s)
        if moment < self.anchor:
            return self.anchor
        return self.anchor + ((moment - self.anchor) // period + 1) * period


def due_instants(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """All due instants after a moment, in order."""
    while True:
        after = schedule.next_after(after)
        yield after


def last_due(schedule: Schedule, after: datetime, until: datetime, most: int) -> list[datetime]:
    """The last due instants in (after, until], at most so many, in order: also after years without asking in a moment."""
    window = timedelta(hours=1)
    while True:
        start = max(after, until - window)
        found = list(takewhile(lambda due: due <= until, due_instants(schedule, start)))
        if len(found) >= most or start == after:
            return found[-most:]
        window *= 4


@dataclass(frozen=True)
class DueNow:
    """What is due, and what is left out of it."""

    due: tuple[datetime, ...] = ()
    """In order."""
    dropped: int = 0
    """So many missed instants are left out; at least so many when `more`."""
    more: bool = False


def due_now(schedule: Schedule, after: datetime, now: datetime, missed: Missed) -> DueNow:
    """What is due at `now` when everything until `after` was dealt with.

    Instants that were noticed too late are left out (skip), made up for by the last one (last), or all made up for, the newest hundred.
    """
    found = last_due(schedule, after, now, MOST_MISSED + 1)
    on_time = now - timedelta(seconds=ON_TIME_S)
    if missed == "all":
        kept = found[-MOST_MISSED:]
    elif missed == "last":
        kept = found[-1:]
    else:
        kept = [due for due in found if due >= on_time]
    return DueNow(tuple(kept), len(found) - len(kept), len(found) > MOST_MISSED)


def next_instants(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next due instants."""
    return list(islice(due_instants(schedule, after), count))


def instants_between(schedule: Schedule, first: datetime, last: datetime, most: int) -> list[datetime]:
    """The due instants in [first, last], at most so many, the oldest ones."""
    before = first - timedelta(microseconds=1)
    return list(islice(takewhile(lambda due: due <= last, due_instants(schedule, before)), most))


def delay_s(name: str, due: datetime, jitter_s: float) -> float:
    """The delay of a trigger's run below `jitter_s`: another one for each trigger and instant, and always the same."""
    digest = hashlib.sha256(f"{name} {due.isoformat()}".encode()).digest()
    return jitter_s * int.from_bytes(digest[:8], "big") / 2**64
