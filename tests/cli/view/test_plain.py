from __future__ import annotations

import io
from typing import Any

from swath import events
from swath.cli.view.plain import PlainView
from tests.cli.view.events import RUN, run_events


def test_plain_lines_say_starts_ends_and_failures_and_progress_at_most_every_few_seconds() -> None:
    out = io.StringIO()
    with PlainView(out) as view:
        for event in run_events(20, fail=3):
            view(event)
        view(events.NodeDone(time=1_000_020, run=RUN, node="predict_region", state="done"))
    lines = [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]
    assert "plan starts" in lines
    assert "plan done in 0.5 s" in lines
    assert "predict_region 0/20" in lines
    assert "predict_region[3] failed for good: ReadFailed: torn" in lines
    assert any(line.startswith("predict_region done in 20 s: 20/20  1 failed") for line in lines)
    progress = [line for line in lines if line.startswith("predict_region ") and "ETA" in line]
    assert 3 <= len(progress) <= 4
    assert "Mpx/s" in progress[0]
    assert "/s" in progress[0]


def test_a_log_line_names_node_and_worker_and_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    with PlainView(out) as view:
        view(events.Log(time=0, run=RUN, level="warning", text="\x1b[2Jgone\nmore", node="n", item=3, worker="w1"))
    assert "\x1b" not in out.getvalue()
    assert "n[3] w1 | warning: " in out.getvalue()
    assert out.getvalue().splitlines()[1].endswith("  more")


def shown(*source: events.Event) -> list[str]:
    """The lines of events, without their times."""
    out = io.StringIO()
    with PlainView(out) as view:
        for event in source:
            view(event)
    return [line.split(" ", 1)[1] for line in out.getvalue().splitlines()]


def failure(node: str, item: int | None, error: str) -> events.CallFailed:
    return events.CallFailed(time=3, run=RUN, node=node, item=item, error=error)


def failed(node: str) -> events.NodeDone:
    return events.NodeDone(time=4, run=RUN, node=node, state="failed")


def end(status: str, **fields: Any) -> events.RunDone:
    return events.RunDone(time=9, run=RUN, status=status, exit_code=1, seconds=2, calls=1, **fields)


def test_a_failure_is_told_once_and_nodes_that_never_ran_are_not_mentioned() -> None:
    assert shown(
        events.NodeOpened(time=1, run=RUN, node="one", total=1),
        events.CallStarted(time=1, run=RUN, node="one", item=None, worker="w"),
        failure("one", None, "ValueError: torn\n  mend it"),
        failed("one"),
        failed("two"),
        end("failed", error="one: ValueError: torn\n  mend it", set_aside=["one: ValueError: torn\n  mend it"]),
    ) == [
        "one starts",
        "one failed for good: ValueError: torn",
        "    mend it",
        "failed in 2.0 s: 1 call",
        f"error: one failed, see above; tracebacks: pipe logs {RUN} --failed",
    ]


def test_what_the_error_of_a_run_says_beyond_that_of_its_call_is_printed() -> None:
    lines = shown(failure("n", 3, "X: no"), end("failed", error="n[3]: X: no\n  on_error: continue goes on"))
    assert lines[-2:] == [
        f"error: n[3] failed, see above; tracebacks: pipe logs {RUN} --failed",
        "  on_error: continue goes on",
    ]
    assert shown(end("failed", error="n[3]: X: no\n  what to do"))[-2:] == ["error: n[3]: X: no", "  what to do"]


def test_items_that_were_set_aside_are_named_and_not_told_again() -> None:
    lines = shown(
        *(failure("n", item, "X: no") for item in range(12)), end("partial", set_aside=["n[0]: X: no", "n[5]: X: no"])
    )
    assert lines[-1] == f"  set aside: n[0], n[5]; errors are above, tracebacks: pipe logs {RUN} --failed"
    assert "set aside" not in "\n".join(
        shown(failure("n", 0, "X: no"), end("failed", error="n[0]: X: no", set_aside=["n[0]: X: no"]))
    )


def test_attempts_that_fail_in_the_same_way_tell_the_reason_once() -> None:
    def again(attempt: int, error: str) -> events.CallRetried:
        return events.CallRetried(time=1, run=RUN, node="n", item=0, error=error, attempt=attempt, delay_s=2)

    assert shown(again(1, "X: no\nmore"), again(2, "X: no\nmore"), again(3, "Y: other")) == [
        "n[0] attempt 1 failed, again in 2.0 s: X: no",
        "n[0] attempt 2 failed in the same way, again in 2.0 s",
        "n[0] attempt 3 failed, again in 2.0 s: Y: other",
    ]


def test_the_time_in_the_queue_is_not_that_of_the_node() -> None:
    lines = shown(
        events.NodeOpened(time=0, run=RUN, node="n", total=1),
        events.CallStarted(time=60, run=RUN, node="n", item=None, worker="w"),
        events.CallDone(time=65, run=RUN, node="n", item=None, worker="w", seconds=5),
        events.NodeDone(time=65, run=RUN, node="n", state="done"),
    )
    assert lines[-1] == "n done in 5.0 s"
