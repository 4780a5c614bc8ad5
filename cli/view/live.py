"""Live view on a terminal: a line per node that is updated in place, log lines above.

Events only update counts; a thread draws five times a second, so that thousands of events a second cost little.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from swath import events
from swath.cli.render.terminal_text import printable
from swath.cli.view.event_text import EventText
from swath.cli.view.frame import frame
from swath.reporting.run_progress import RunProgress
from swath.units import clock

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY_S = 0.2
"""Time between two frames."""
MOST_LINES = 200
"""Log lines printed with one frame; further ones are only in the journal."""


class LiveView:
    """A listener that shows a run on a terminal. A context manager; the last frame stays."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False, markup=False, emoji=False)
        self._lock = threading.Lock()
        self._progress = RunProgress()
        self._text = EventText()
        self._lines: list[Text] = []
        self._dropped = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._draw_loop, name="swath-view", daemon=True)
        self._live = Live(
            console=self._console, auto_refresh=False, get_renderable=self._render, redirect_stdout=False, transient=False
        )  # fmt: skip

    def __enter__(self) -> LiveView:
        self._live.start()
        # rich hides the cursor. A process that is killed could not show it again, so it is never hidden.
        self._console.show_cursor(True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._draw()
        self._live.stop()
        if self._progress.end:
            for line in self._text.summary(self._progress.end):
                self._console.print(Text(printable(line), _style(line)), soft_wrap=True)

    def __call__(self, event: events.Event) -> None:
        with self._lock:
            self._progress.take(event)
            if isinstance(event, (events.RunDone, events.RunStarted, events.ClusterReady)):
                return
            for line in self._text.lines(event):
                if len(self._lines) < MOST_LINES:
                    self._lines.append(Text(f"{clock(event.time)} {printable(line)}", _style(line, event)))
                else:
                    self._dropped += 1
                    self._text.forget(event)

    def _draw_loop(self) -> None:
        while not self._closed.wait(EVERY_S):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(Text(f"... {dropped} more lines: pipe logs {self._progress.run}", "dim"))
        if lines:
            self._console.print(Group(*lines), soft_wrap=True)
        self._live.refresh()

    def _render(self) -> RenderableType:
        size = self._console.size
        with self._lock:
            # One column less: some terminals break the line after the last.
            lines = frame(self._progress, time.time(), max(10, size.width - 1), max(2, size.height - 2))
        return Group(
            *(
                Text.assemble(*((printable(text), style) for text, style in line), no_wrap=True, overflow="crop")
                for line in lines
            )
        )


def _style(line: str, event: events.Event | None = None) -> str:
    if isinstance(event, events.CallFailed) or line.startswith("error:"):
        return "red"
    if isinstance(event, (events.CallRetried, events.RunStopping)):
        return "yellow"
    if isinstance(event, events.Log):
        return {"error": "red", "warning": "yellow", "debug": "dim"}.get(event.level, "")
    return ""
