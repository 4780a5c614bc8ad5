"""`pipe watch`: run the triggers of a project in this process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from swath.errors import UsageError
from swath.project.project import Project
from swath.watch.watching import Watching


def watch(start: Path, most_runs: int, *, once: bool) -> int:
    """Watch until a signal; with `once`, until nothing is left to do now."""
    project = trusted_project(start)
    watching = Watching(project, _say, most_runs, once)
    with _ended_by_signals(watching.stop):
        if not once:
            _say(f"watching {project.root}; Ctrl-C ends it, runs go on")
        watching.run()
    return 0


def trusted_project(start: Path) -> Project:
    """The project around a folder or a swath.yaml. Raises UsageError when its user does not trust it."""
    if not start.exists():
        raise UsageError(f"there is no {start}", remedy="give the folder of a project, or its swath.yaml")
    project = Project.find(start)
    if project.file is None:
        raise UsageError(
            f"there is no swath.yaml at or above {start}", remedy="triggers are written in one: see docs/triggers.md"
        )
    if not project.trusted:
        raise UsageError(f"the folder {project.root} is not trusted", remedy=f"pipe trust {project.root}")
    return project


@contextlib.contextmanager
def _ended_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM are how it ends, so they are no failure."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)
