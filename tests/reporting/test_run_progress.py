from __future__ import annotations

import pytest

from swath import events
from swath.reporting.run_progress import RunProgress
from tests.cli.view.events import RUN, run_events


def test_rate_pixels_and_time_left_follow_the_last_half_minute() -> None:
    progress = RunProgress()
    source = run_events(100)
    for event in source:
        progress.take(event)
        if event.time >= 1_000_040:
            break
    node = progress.nodes["predict_region"]
    assert node.calls_per_s(1_000_040) == pytest.approx(1.0, rel=0.05)
    assert node.pixels_per_s(1_000_040) == pytest.approx(1e6, rel=0.05)
    assert node.eta_s(1_000_040) == pytest.approx(60, rel=0.05)
    assert len(node.samples) < 70


def test_reused_calls_are_done_but_do_not_count_for_the_rate() -> None:
    progress = RunProgress()
    progress.take(events.NodeOpened(time=0, run=RUN, node="n", total=10))
    for item in range(8):
        progress.take(events.CallDone(time=0.1, run=RUN, node="n", item=item, worker="", seconds=0, reused=True))
    node = progress.nodes["n"]
    assert (node.done, node.reused, node.calls_per_s(5.0), node.eta_s(5.0)) == (8, 8, 0.0, None)


def test_the_start_up_of_a_call_is_not_in_the_time_left() -> None:
    progress = RunProgress()
    progress.take(events.NodeOpened(time=0, run=RUN, node="learn", total=1))
    progress.take(events.CallStarted(time=60, run=RUN, node="learn", item=None, worker="", attempt=1))
    for step in range(1, 11):
        progress.take(events.CallProgress(time=90 + step, run=RUN, node="learn", item=None, done=step, total=100))
    assert progress.nodes["learn"].eta_s(100) == pytest.approx(90, rel=0.01)
