"""Plain view: timestamped lines for logs and pipes; starts and ends always, progress every few seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from typing import TextIO

from swath import events, units
from swath.cli.view.event_text import EventText
from swath.reporting.run_progress import NodeProgress, RunProgress, in_mapped

EVERY_S = 5.0
"""At most one line of progress per node in this time."""

METRICS = 3
"""Metrics of a call that a line shows at most."""


class PlainView:
    """A listener that writes lines to a stream."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._progress = RunProgress()
        self._text = EventText()
        self._printed: dict[str, float] = {}

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def __call__(self, event: events.Event) -> None:
        with self._lock:
            node = self._progress.take(event)
            for text in self._event_lines(event, node):
                self._out.write(f"{units.clock(event.time)} {text}\n")
            self._out.flush()

    def _event_lines(self, event: events.Event, node: NodeProgress | None) -> Iterator[str]:
        match event:
            case events.NodeOpened() | events.NodeDone() | events.CallStarted() if in_mapped(event.node):
                return  # one of many: the step's own progress is shown
            case events.NodeOpened() if node:
                self._printed[node.name] = event.time
                if event.total != 1:
                    yield f"{node.name} {'starts' if event.total is None else f'0/{event.total}'}"
            case events.NodeDone() if node:
                if not (
                    node.state == "failed" and (node.total == 1 or not node.settled)
                ):  # its failure was printed, or it never ran
                    yield ended(node)
            case events.CallDone() | events.CallProgress() | events.StepDone() if node:
                over = node.total is not None and node.settled >= node.total
                if node.state == "open" and not over and event.time - self._printed.get(node.name, 0.0) >= EVERY_S:
                    self._printed[node.name] = event.time
                    yield progress(node, event.time)
            case events.CallStarted() if node and node.total == 1 and event.attempt == 1:
                yield f"{node.name} starts"
            case _:
                yield from self._text.lines(event)


def progress(node: NodeProgress, now: float) -> str:
    """Such as `predict_region 40/169  2.1/s  1.3 Mpx/s  468 km2/h  ETA 1m 02s`."""
    total = "?" if node.total is None else node.total
    done = f"{node.fraction or 0:.0%}" if node.total == 1 else f"{node.settled}/{total}"
    return "  ".join([f"{node.name} {done}", *figures(node, now)])


def figures(node: NodeProgress, now: float) -> Iterator[str]:
    """Failures, metrics, rates, time left and counts of reused and retried calls; what is zero or unknown is left out."""
    if node.failed:
        yield f"{node.failed} failed"
    if node.metrics:
        yield ", ".join(f"{name} {value:.3g}" for name, value in islice(node.metrics.items(), METRICS))
    eta = node.eta_s(now)
    if node.total != 1 and (speed := node.calls_per_s(now)) > 0:
        yield units.rate(speed)
    if (pixels := node.pixels_per_s(now)) > 0:
        yield units.megapixels(pixels)
    if (ground := node.km2_per_s(now)) > 0:
        yield units.ground(ground)
    if eta is not None:
        yield f"ETA {units.duration(eta)}"
    if node.reused:
        yield f"{node.reused} reused"
    if node.retried:
        yield f"{node.retried} retried"


def ended(node: NodeProgress) -> str:
    """Such as `predict_region done in 3m 12s: 169/169  40 reused`."""
    if node.state == "skipped":
        return f"{node.name} skipped"
    took = units.duration(node.seconds)
    if node.total == 1 and node.reused:
        return f"{node.name} {node.state}, reused"
    counts = (
        []
        if node.total == 1 or not node.settled
        else [f"{node.settled}/{node.settled if node.total is None else node.total}"]
    )
    rest = "  ".join([*counts, *figures(node, node.ended or node.opened)])
    return f"{node.name} {node.state} in {took}{': ' if rest else ''}{rest}"
