"""Due instants: Debian's rules at changes of the clock, and the same instants from wherever they are asked for."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.triggers.schedule import (
    CronSchedule,
    IntervalSchedule,
    delay_s,
    due_instants,
    due_now,
    instants_between,
    last_due,
    next_instants,
)

ZONES = ("UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "America/New_York", "Asia/Kathmandu")
CRONS = (
    "30 2 * * *",
    "*/15 * * * *",
    "0 0 * * *",
    "15 * * * 1-5",
    "0,30 0-3 * * *",
    "5 */2 1,15 * *",
    "59 1 * * 0",
    "* 2 * * *",
)
CHANGES = tuple(
    datetime.fromisoformat(text)
    for text in (
        "2026-03-29T00:30Z", "2026-10-25T00:30Z", "2026-09-06T03:30Z", "2026-04-05T02:30Z",
        "2026-10-03T15:00Z", "2026-04-04T15:00Z", "2026-03-08T06:30Z", "2026-11-01T05:30Z",
    )
)  # fmt: skip
"""A while around each change of the clock in these zones."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def between(cron: str, zone: str, first: str, last: str) -> list[str]:
    found = instants_between(CronSchedule(cron, zone), at(first), at(last), 100)
    return [due.strftime("%dT%H:%M") for due in found]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(CRONS), st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-36 * 60, 36 * 60), st.integers(0, 59)
)  # fmt: skip
def test_each_instant_is_due_once_whenever_the_process_was_started_again(
    cron: str, zone: str, change: datetime, minutes: int, seconds: int
) -> None:
    schedule = CronSchedule(cron, zone)
    dues = list(itertools.islice(due_instants(schedule, change - timedelta(hours=40)), 400))
    assert dues == sorted(set(dues))
    restart = change + timedelta(minutes=minutes, seconds=seconds)
    following = [due for due in dues if due > restart]
    if following:
        assert schedule.next_after(restart) == following[0]


def test_a_time_that_does_not_exist_is_due_right_after_the_jump() -> None:
    assert between("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", "2026-03-30T12:00Z") == [
        "28T01:30", "29T01:00", "30T00:30",
    ]  # fmt: skip
    assert between("0 0 * * *", "America/Santiago", "2026-09-05T00:00Z", "2026-09-07T12:00Z") == [
        "05T04:00", "06T04:00", "07T03:00",
    ]  # fmt: skip


def test_a_time_that_comes_twice_is_due_once() -> None:
    assert between("30 2 * * *", "Europe/Berlin", "2026-10-24T00:00Z", "2026-10-26T12:00Z") == [
        "24T00:30", "25T00:30", "26T01:30",
    ]  # fmt: skip
    lord_howe = between("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T12:00Z", "2026-04-06T00:00Z")
    assert lord_howe == ["03T14:45", "04T14:45", "05T15:15"]


def test_fields_with_a_star_follow_the_time_that_passes() -> None:
    found = instants_between(
        CronSchedule("*/30 * * * *", "Europe/Berlin"), at("2026-10-25T00:00Z"), at("2026-10-25T03:00Z"), 99
    )
    assert [later - due for due, later in itertools.pairwise(found)] == [timedelta(minutes=30)] * 6


@given(st.integers(1, 10**6), st.integers(0, 10**9), st.integers(-(10**6), 10**9))
def test_an_interval_is_due_at_multiples_of_its_period_from_its_start(period: int, start: int, moment: int) -> None:
    epoch = datetime(2000, 1, 1, tzinfo=UTC)
    anchor, now = epoch + timedelta(seconds=start), epoch + timedelta(seconds=moment)
    due = IntervalSchedule(period, anchor).next_after(now)
    assert due > now
    assert (due - anchor) % timedelta(seconds=period) == timedelta()
    assert due == anchor or due - now <= timedelta(seconds=period)


@pytest.mark.parametrize(
    ("missed", "due", "dropped"),
    [("skip", [], 3), ("last", ["03:00"], 2), ("all", ["01:00", "02:00", "03:00"], 0)],
)  # fmt: skip
def test_missed_instants_are_left_out_or_made_up_for(missed: str, due: list[str], dropped: int) -> None:
    hourly = CronSchedule("0 * * * *", "UTC")
    found = due_now(hourly, at("2026-01-01T00:00Z"), at("2026-01-01T03:30Z"), missed)  # type: ignore[arg-type]
    assert [each.strftime("%H:%M") for each in found.due] == due
    assert found.dropped == dropped


@pytest.mark.parametrize("missed", ["skip", "last", "all"])
def test_an_instant_that_is_noticed_in_time_is_due_under_each_policy(missed: str) -> None:
    hourly = CronSchedule("0 * * * *", "UTC")
    found = due_now(hourly, at("2026-01-01T02:00Z"), at("2026-01-01T03:00:20Z"), missed)  # type: ignore[arg-type]
    assert found.due == (at("2026-01-01T03:00Z"),)


def test_years_of_missed_minutes_are_dealt_with_in_a_moment() -> None:
    every_minute = CronSchedule("* * * * *", "Europe/Berlin")
    found = due_now(every_minute, at("2020-01-01T00:00Z"), at("2026-01-01T00:00Z"), "all")
    assert len(found.due) == 100
    assert found.more
    assert found.due[-1] == at("2026-01-01T00:00Z")
    yearly = CronSchedule("0 0 29 2 *", "UTC")
    assert last_due(yearly, at("2000-01-01T00:00Z"), at("2026-01-01T00:00Z"), 2) == [
        at("2020-02-29T00:00Z"),
        at("2024-02-29T00:00Z"),
    ]


def test_jitter_is_the_same_after_a_restart_and_another_for_each_instant() -> None:
    dues = next_instants(CronSchedule("0 * * * *", "UTC"), at("2026-01-01T00:00Z"), 50)
    delays = [delay_s("a", due, 300) for due in dues]
    assert delays == [delay_s("a", due, 300) for due in dues]
    assert len(set(delays)) == 50
    assert all(0 <= delay < 300 for delay in delays)
