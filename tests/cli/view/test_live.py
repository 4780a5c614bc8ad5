from __future__ import annotations

import io
import time

from swath import events
from swath.cli.view.live import LiveView
from tests.cli.view.events import RUN, run_events


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_live_view_keeps_its_last_frame_and_prints_log_lines_above_it() -> None:
    out = Terminal()
    with LiveView(out) as view:
        for event in run_events(5, fail=2, seconds=0.1):
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
    source = list(run_events(5000, seconds=0.001))
    with LiveView(Terminal()) as view:
        began = time.process_time()
        for event in source:
            view(event)
        spent = time.process_time() - began
    assert spent / len(source) < 0.0002
