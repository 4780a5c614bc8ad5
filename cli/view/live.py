"""The picture on a terminal: a line per node that changes in place, with the log above it.

Events only count; a thread of its own draws a few times a second, so that thousands of events a second cost little.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from swath import events
from swath.cli.view.frame import frame
from swath.cli.view.plain import said, summary
from swath.cli.view.progress import RunProgress
from swath.units import clock

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY_S = 0.2
"""Time between two pictures."""
MOST_LINES = 200
"""Log lines printed with one picture; what is more stays in the journal."""


class LiveView:
    """Shows a run on a terminal. Use as a context manager; the last picture stays."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._lock = threading.Lock()
        self._tally = RunProgress()
        self._lines: list[Text] = []
        self._dropped = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="swath-view", daemon=True)
        self._live = Live(
            console=self._console, auto_refresh=False, get_renderable=self._picture, redirect_stdout=False, transient=False
        )  # fmt: skip

    def __enter__(self) -> LiveView:
        self._live.start()
        # rich hides the cursor. A process that is killed could not show it again, so it is never hidden.
        self._console.show_cursor(True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._draw()
        self._live.stop()
        if self._tally.end:
            for line in summary(self._tally.end):
                self._console.print(Text(line, _style(line)), soft_wrap=True)

    def __call__(self, event: events.Event) -> None:
        with self._lock:
            self._tally.take(event)
            if isinstance(event, (events.RunDone, events.RunStarted, events.ClusterReady)):
                return
            for line in said(event):
                if len(self._lines) < MOST_LINES:
                    self._lines.append(Text(f"{clock(event.time)} {line}", _style(line, event)))
                else:
                    self._dropped += 1

    def _draw_on(self) -> None:
        while not self._over.wait(EVERY_S):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(Text(f"... {dropped} lines more: pipe logs {self._tally.run}", "dim"))
        if lines:
            self._console.print(Group(*lines), soft_wrap=True)
        self._live.refresh()

    def _picture(self) -> RenderableType:
        size = self._console.size
        with self._lock:
            # One column less: some terminals break the line after the last.
            lines = frame(self._tally, time.time(), max(10, size.width - 1), max(2, size.height - 2))
        return Group(*(Text.assemble(*line, no_wrap=True, overflow="crop") for line in lines))


def _style(line: str, event: events.Event | None = None) -> str:
    if isinstance(event, events.CallFailed) or line.startswith("error:"):
        return "red"
    if isinstance(event, (events.CallRetried, events.RunStopping)):
        return "yellow"
    if isinstance(event, events.Log):
        return {"error": "red", "warning": "yellow", "debug": "dim"}.get(event.level, "")
    return ""
