"""A file that says how a run stands, for the supervisor beside it: written anew while the run goes on, a few kB whatever its size."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

from swath.events import CallFailed, Event, RunDone
from swath.reporting.failure_groups import FailureGroups
from swath.reporting.run_progress import NodeProgress, RunProgress, ordered

VARIABLE = "SWATH_LIVE"
"""Environment variable with the path of the file; no file is written without it."""
WRITE_S = 2.0
"""At least this time lies between two writes."""
NODES = 200
NAME = 200
"""Characters of a name."""


class LiveFile:
    """A listener that counts events and writes what it has counted. A run with a file that cannot be written goes on without."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._progress = RunProgress()
        self._failures = FailureGroups()
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.take(event)
            self._failures(event)
            if isinstance(event, CallFailed):
                self._failures.add(event.node, event.item, event.error, final=True)
            now = time.monotonic()
            if now < self._next and not isinstance(event, RunDone):
                return
            self._next = now + WRITE_S
            text = json.dumps(live_document(self._progress, self._failures, event.time))
        part = self._file.with_name(f"{self._file.name}.part")
        with contextlib.suppress(OSError):
            part.write_text(text)
            part.replace(self._file)


def live_file() -> list[LiveFile]:
    """The listener for the file that the environment names; none without one."""
    path = os.environ.get(VARIABLE)
    return [LiveFile(Path(path))] if path else []


def live_document(progress: RunProgress, failures: FailureGroups, now: float) -> dict[str, Any]:
    """What has been counted, in the form of `swath.protocol.live.Live`."""
    nodes = ordered(progress)
    shown = nodes if len(nodes) <= NODES else [node for node in nodes if node.depth == 0][:NODES]
    groups, more = failures.groups()
    return {
        "nodes": [_node(node, now) for node in shown],
        "hidden": len(nodes) - len(shown),
        "workers": progress.workers,
        "stopping": progress.stopping[:1000],
        "problems": [
            {
                "node": group.node[:NAME],
                "item": group.item,
                "final": group.final,
                "count": group.count,
                "reason": group.reason,
            }
            for group in groups
        ],
        "more_problems": more,
    }


def _node(node: NodeProgress, now: float) -> dict[str, Any]:
    return {
        "name": node.name[:NAME], "depth": node.depth, "state": node.state, "total": node.total, "done": node.done,
        "reused": node.reused, "failed": node.failed, "retried": node.retried, "active": len(node.begun),
        "fraction": node.fraction, "calls_per_s": node.calls_per_s(now), "pixels_per_s": node.pixels_per_s(now),
        "km2_per_s": node.km2_per_s(now), "eta_s": node.eta_s(now), "seconds": node.seconds,
        "metrics": {name[:100]: value for name, value in list(node.metrics.items())[:20] if math.isfinite(value)},
    }  # fmt: skip
