"""The views, fed with events: what they print, how wide, and how much it costs."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath import events
from swath.cli.render.columns import width
from swath.cli.view.frame import frame
from swath.cli.view.lines import JsonView
from swath.cli.view.live import LiveView
from swath.cli.view.plain import PlainView
from swath.cli.view.progress import RunProgress

RUN = "20240601-120000-map-abcd"


def a_run(calls: int = 20, *, fail: int = -1, seconds: float = 1.0) -> Iterator[events.Event]:
    """Events of a run that maps `calls` blocks, a second each."""
    now = 1_000_000.0
    yield events.RunStarted(time=now, run=RUN, pipeline="predict", name="map", spec="map.yaml", cluster="local")
    yield events.ClusterReady(time=now, run=RUN, cluster="local", workers=2, seconds=1.2, address="tcp://127.0.0.1:1")
    yield events.NodeOpened(time=now, run=RUN, node="plan", total=1)
    yield events.CallStarted(time=now, run=RUN, node="plan", item=None, worker="w0")
    yield events.CallDone(time=now, run=RUN, node="plan", item=None, worker="w0", seconds=0.5)
    yield events.NodeDone(time=now + 0.5, run=RUN, node="plan", state="done")
    yield events.NodeOpened(time=now, run=RUN, node="predict_region", total=calls)
    for item in range(calls):
        yield events.CallStarted(time=now, run=RUN, node="predict_region", item=item, worker="w0")
        now += seconds
        yield events.CallProgress(
            time=now, run=RUN, node="predict_region", item=item, done=1, total=2, pixels=1_000_000
        )
        if item == fail:
            yield events.CallFailed(time=now, run=RUN, node="predict_region", item=item, error="ReadFailed: torn\nat 3")
        else:
            yield events.CallDone(time=now, run=RUN, node="predict_region", item=item, worker="w0", seconds=seconds)


def told(source: Iterator[events.Event]) -> RunProgress:
    tally = RunProgress()
    for event in source:
        tally.take(event)
    return tally


def test_rate_pixels_and_time_left_follow_the_last_half_minute() -> None:
    tally = RunProgress()
    source = a_run(100)
    for event in source:
        tally.take(event)
        if event.time >= 1_000_040:
            break
    node = tally.nodes["predict_region"]
    assert node.calls_per_s(1_000_040) == pytest.approx(1.0, rel=0.05)
    assert node.pixels_per_s(1_000_040) == pytest.approx(1e6, rel=0.05)
    assert node.eta_s(1_000_040) == pytest.approx(60, rel=0.05)
    assert len(node.samples) < 70


def test_reused_calls_are_done_but_do_not_count_for_the_rate() -> None:
    tally = RunProgress()
    tally.take(events.NodeOpened(time=0, run=RUN, node="n", total=10))
    for item in range(8):
        tally.take(events.CallDone(time=0.1, run=RUN, node="n", item=item, worker="", seconds=0, reused=True))
    node = tally.nodes["n"]
    assert (node.done, node.reused, node.calls_per_s(5.0), node.eta_s(5.0)) == (8, 8, 0.0, None)


def test_the_time_that_a_call_takes_to_get_going_is_not_in_the_time_left() -> None:
    tally = RunProgress()
    tally.take(events.NodeOpened(time=0, run=RUN, node="learn", total=1))
    tally.take(events.CallStarted(time=60, run=RUN, node="learn", item=None, worker="", attempt=1))
    for step in range(1, 11):
        tally.take(events.CallProgress(time=90 + step, run=RUN, node="learn", item=None, done=step, total=100))
    assert tally.nodes["learn"].eta_s(100) == pytest.approx(90, rel=0.01)


def test_plain_lines_say_starts_ends_and_failures_and_progress_at_most_every_few_seconds() -> None:
    out = io.StringIO()
    with PlainView(out) as view:
        for event in a_run(20, fail=3):
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


def test_json_lines_are_every_event_and_nothing_else() -> None:
    out = io.StringIO()
    source = list(a_run(3))
    with JsonView(out) as view:
        for event in source:
            view(event)
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == [event.kind for event in source]


@given(
    wide=st.integers(10, 200),
    high=st.integers(2, 30),
    names=st.lists(st.text("ab字é_/[0]", min_size=1, max_size=60), min_size=1, max_size=40, unique=True),
    seen=st.integers(0, 200),
)
def test_no_picture_is_wider_or_higher_than_the_terminal(wide: int, high: int, names: list[str], seen: int) -> None:
    tally = told(event for number, event in enumerate(a_run(50, fail=4)) if number <= seen)
    for depth, name in enumerate(names):
        tally.take(events.NodeOpened(time=1, run=RUN, node=name, total=None, depth=depth % 4))
    lines = frame(tally, 1_000_060.0, wide, high)
    assert len(lines) <= high
    assert all(sum(width(text) for text, _ in line) <= wide for line in lines)
    assert not any("\n" in text for line in lines for text, _ in line)


def test_the_nodes_of_a_mapped_step_are_counted_together_below_it() -> None:
    tally = RunProgress()
    for name, depth in [("detect", 0), ("publish", 0), ("detect[0]/fetch", 1), ("detect[1]/fetch", 1)]:
        tally.take(events.NodeOpened(time=0, run=RUN, node=name, total=1, depth=depth))
    tally.take(events.NodeDone(time=1, run=RUN, node="publish", state="skipped"))
    lines = ["".join(text for text, _ in line).rstrip() for line in frame(tally, 2, 80, 20)]
    assert [line[2:].split("  ░")[0].rstrip() for line in lines[1:]] == [
        "detect",
        "  fetch",
        "publish  skipped",
    ]


def test_when_there_are_more_nodes_than_lines_the_failed_and_the_open_are_shown() -> None:
    tally = RunProgress()
    for number in range(40):
        tally.take(events.NodeOpened(time=number, run=RUN, node=f"n{number}", total=1))
        tally.take(events.NodeDone(time=number, run=RUN, node=f"n{number}", state="done"))
    tally.take(events.NodeOpened(time=0, run=RUN, node="n7", total=2))
    tally.take(events.CallFailed(time=0, run=RUN, node="n7", item=0, error="x"))
    lines = ["".join(text for text, _ in line) for line in frame(tally, 50, 80, 10)]
    assert len(lines) == 10
    assert any("n7 " in line for line in lines)
    assert lines[-1].strip() == "… and 32 done"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_live_view_keeps_its_last_picture_and_prints_log_lines_above_it() -> None:
    out = Terminal()
    with LiveView(out) as view:
        for event in a_run(5, fail=2, seconds=0.1):
            view(event)
        view(events.Log(time=0, run=RUN, level="info", text="hello there", node="plan", worker="w0"))
        view(events.RunDone(time=2, run=RUN, status="partial", exit_code=3, seconds=2, calls=5, set_aside=["n[2]: x"]))
    text = out.getvalue()
    assert "plan w0 | hello there" in text
    assert "5/5" in text
    assert "partial in 2.0 s: 5 calls" in text
    assert "set aside: n[2]: x" in text


def test_the_live_view_never_leaves_the_cursor_hidden() -> None:
    out = Terminal()
    with LiveView(out):
        hidden, shown = out.getvalue().rfind("\x1b[?25l"), out.getvalue().rfind("\x1b[?25h")
        assert shown > hidden or hidden == -1


def test_the_live_view_takes_thousands_of_events_a_second() -> None:
    source = list(a_run(5000, seconds=0.001))
    with LiveView(Terminal()) as view:
        began = time.process_time()
        for event in source:
            view(event)
        spent = time.process_time() - began
    assert spent / len(source) < 0.0002
