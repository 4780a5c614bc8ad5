from __future__ import annotations

import io

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
