from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.engine.journal_rows import CallRow
from swath.events import CallRetried
from swath.reporting.call_statistics import LANES, CallStatistics, summarize_calls
from swath.reporting.failure_groups import FailureGroups
from swath.reporting.run_report import RunFacts, to_html, to_json, write_report
from swath.reporting.timeline import BINS, WorkerLane
from swath.reporting.timeline_svg import to_svg

START = 1.7e9


def call(node: str, item: int | None, end: float, took: float, worker: str = "worker-0", **other: Any) -> CallRow:
    """A call that ended `end` seconds after the session's start."""
    fields = {"key": "k", "state": "done", "attempt": 1, "error": "", "traceback": ""} | other
    return CallRow(node=node, item=item, worker=worker, finished=START + end, seconds=took, **fields)


def statistics(*calls: CallRow, span: float = 10, failures: FailureGroups | None = None) -> CallStatistics:
    return summarize_calls(iter(calls), START, START + span, failures)


def lanes(found: CallStatistics) -> dict[str, WorkerLane]:
    assert found.timeline is not None
    return {lane.name: lane for lane in found.timeline.lanes}


def busy_s(found: CallStatistics, worker: str) -> float:
    assert found.timeline is not None
    return sum(map(sum, lanes(found)[worker].busy)) * found.timeline.bin_s


def test_each_worker_is_busy_when_its_calls_ran() -> None:
    found = statistics(call("a", 0, 2, 1), call("b", 0, 6, 3, "worker-1"))
    one = lanes(found)
    assert busy_s(found, "worker-0") == pytest.approx(1, abs=0.01)
    assert busy_s(found, "worker-1") == pytest.approx(3, abs=0.01)
    assert [i for i, share in enumerate(map(sum, zip(*one["worker-0"].busy, strict=True))) if share] == list(
        range(BINS // 10, BINS // 5)
    )
    assert [(b.node, b.start_s, b.end_s) for b in one["worker-1"].blocks] == [("b", 3, 6)]
    assert found.busy == pytest.approx(4 / 5 / 2)


def test_calls_that_were_written_down_together_are_laid_one_after_the_other() -> None:
    found = statistics(*(call("a", i, 5, 1) for i in range(4)))
    assert [(round(b.start_s, 6), round(b.end_s, 6)) for b in lanes(found)["worker-0"].blocks] == [
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
    ]


def test_a_worker_with_many_threads_is_not_stretched_into_the_time_before_the_session() -> None:
    found = statistics(*(call("a", i, 9, 8) for i in range(4)))
    lane = lanes(found)["worker-0"]
    assert not lane.blocks
    assert max(map(sum, zip(*lane.busy, strict=True))) == pytest.approx(1, abs=0.01)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.floats(0, 4), st.integers(0, 30), st.integers(0, 9), st.booleans()), max_size=60
    )
)
def test_shares_stay_shares_and_no_call_is_lost(rows: list[tuple[float, float, int, int, bool]]) -> None:
    calls = [
        call(f"n{n}", i, end, took, f"w{w}", state="failed" if bad else "done", error="broke" if bad else "")
        for i, (end, took, w, n, bad) in enumerate(rows)
    ]
    found = statistics(*calls)
    assert found.made == len(rows) == sum(each.calls for each in found.workers)
    assert sum(node.made + node.failed for node in found.nodes) == len(rows)
    if found.timeline is None:
        assert not rows
        return
    assert len(found.timeline.lanes) <= LANES
    for lane in found.timeline.lanes:
        assert all(-1e-9 <= sum(shares) <= 1.01 for shares in zip(*lane.busy, strict=True))
    assert sum(sum(lane.failed) for lane in found.timeline.lanes) == sum(row[4] for row in rows)
    ElementTree.fromstring(to_svg(found))


def test_reused_calls_and_those_of_earlier_sessions_are_not_counted_as_work_of_this_one() -> None:
    found = statistics(
        call("a", 0, -50, 7),
        call("a", 1, 1, 0, "", state="reused"),
        call("a", 2, 3, 2),
        call("sub", 0, 4, 0, state="step"),
    )
    assert (found.made, found.reused, found.earlier) == (1, 1, 1)
    (node,) = found.nodes
    assert (node.made, node.reused, node.earlier, node.seconds, node.longest_s) == (1, 1, 1, 2, 2)
    assert [each.name for each in found.workers] == ["worker-0"]
    page = to_html(facts(found, first_started=START - 100))
    assert "1 result existed already and was reused" in page
    assert "1 more call was finished by earlier sessions" in page
    assert "covers the last session" in page


def test_a_run_without_executed_calls_has_no_timeline() -> None:
    found = statistics(call("a", 0, 1, 0, "", state="reused"))
    assert found.timeline is None
    assert to_svg(found) == ""
    assert "0 calls were executed" in to_html(facts(found))


def test_failures_of_the_journal_and_retries_of_the_session_are_listed_together() -> None:
    failures = FailureGroups()
    failures(CallRetried(time=1, run="r", node="read", item=4, error="timed out: 4", attempt=1, delay_s=1))
    found = statistics(
        *(call("read", i, 1, 1, state="failed", error=f"block {i} is cut") for i in range(3)),
        call("read", 9, 1, 1, attempt=2),
        failures=failures,
    )
    assert [(t.item, t.final, t.count, t.reason) for t in found.troubles] == [
        (0, True, 3, "block 0 is cut"),
        (4, False, 1, "timed out: 4"),
    ]
    assert found.nodes[0].retried == 1


def test_the_slowest_calls_come_first_and_resources_are_shown_only_when_they_were_measured() -> None:
    plain = statistics(*(call("a", i, i, i / 10) for i in range(1, 30)), span=30)
    assert [c.item for c in plain.slowest] == list(range(29, 19, -1))
    page = to_html(facts(plain))
    assert "most memory" not in page
    assert "processor" not in page
    rich = to_html(facts(statistics(call("a", 0, 2, 2, cpu_s=1.0, memory=123_000_000), call("b", 0, 2, 1, "worker-1"))))
    assert "123.0 MB" in rich
    assert "50 %" in rich


def test_names_in_the_picture_are_escaped() -> None:
    found = statistics(call("<b>&", 0, 1, 1, "<script>"))
    ElementTree.fromstring(to_svg(found))
    assert "<script>" not in to_html(facts(found))


def test_a_hundred_thousand_calls_on_many_workers_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    def rows() -> Iterator[CallRow]:
        for i in range(100_000):
            worker, turn = i % 300, i // 300
            end = (turn + 1) * 0.01 + math.sin(i) * 0.001
            yield call(
                f"node{i % 40}",
                i,
                end,
                0.008,
                f"host-{worker}:1",
                state="failed" if i % 3 == 0 else "done",
                error=f"E{i}",
            )

    found = summarize_calls(rows(), START, START + 4)
    written = write_report(tmp_path, facts(found, set_aside=tuple(f"node[{i}]: no" for i in range(100_000))))
    assert all(path.stat().st_size < 1_500_000 for path in written)
    assert json.loads(written[0].read_text())["set_aside_count"] == 100_000
    assert "99,900 more" in written[1].read_text()


def test_the_json_has_the_statistics_beside_the_rest() -> None:
    said = json.loads(to_json(facts(statistics(call("a", 0, 2, 1), call("a", None, 3, 1, state="reused")))))
    assert (said["made"], said["reused"], said["nodes"][0]["made"]) == (1, 1, 1)
    assert said["slowest"][0]["node"] == "a"
    assert len(said["timeline"]["lanes"][0]["busy"][0]) == BINS
    assert said["started"] == START


def facts(found: CallStatistics, **other: Any) -> RunFacts:
    plain = RunFacts("id", "demo", "predict", "done", 0, found.started, found.finished, "s.yaml", "", calls=found)
    return dataclasses.replace(plain, **other)
