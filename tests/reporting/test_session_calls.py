from __future__ import annotations

from typing import Any

import numpy as np

from swath.engine.journal_rows import CallRow
from swath.reporting.session_calls import SLOWEST, SessionCalls

START = 1.7e9


def call(item: int | None, end: float, seconds: float, **other: Any) -> CallRow:
    fields = {"key": "k", "state": "done", "attempt": 1, "error": "", "traceback": "", "worker": "w"} | other
    return CallRow(node="a", item=item, finished=START + end, seconds=seconds, **fields)


def test_only_calls_of_the_session_are_in_the_columns_and_others_are_counted() -> None:
    session = SessionCalls(START)
    for each in (
        call(0, -50, 7), call(1, 1, 0, state="reused"), call(2, 3, 2, attempt=2), call(None, 4, 1, state="failed", worker="v"),
        CallRow(node="b", item=None, finished=None, seconds=None, key="k", state="open", attempt=1, error="", traceback="", worker=""),
    ):  # fmt: skip
        session.add(each)
    counts = session.counts["a"]
    assert (counts.done, counts.reused, counts.failed, counts.earlier, counts.retried) == (1, 1, 1, 1, 1)
    columns = session.columns()
    assert columns.item.tolist() == [2, -1]
    assert columns.end.tolist() == [3, 4]
    assert columns.failed.tolist() == [False, True]
    assert columns.worker.tolist() == [session.workers["w"], session.workers["v"]]
    assert columns.select(np.array([True, False])).seconds.tolist() == [2]


def test_the_slowest_calls_are_sorted_and_bounded() -> None:
    session = SessionCalls(START)
    for item in range(3 * SLOWEST):
        session.add(call(item, item, item / 10))
    assert [each.item for each in session.slowest()] == list(range(3 * SLOWEST - 1, 2 * SLOWEST - 1, -1))


def test_processor_time_is_summed_and_memory_is_the_largest_of_each_worker() -> None:
    session = SessionCalls(START)
    session.add(call(0, 1, 1, cpu_s=0.5, memory=10))
    session.add(call(1, 2, 1, cpu_s=0.25, memory=5))
    session.add(call(2, 3, 1, worker="v"))
    assert session.cpu_s == {"w": 0.75}
    assert session.memory == {"w": 10}
