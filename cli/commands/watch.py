"""`pipe watch`: run the triggers of a project in this process."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swath.cli.commands.submit import only_project
from swath.errors import UsageError
from swath.project.project import Project
from swath.spec.project_root import FILE
from swath.watch.watching import Watching

if TYPE_CHECKING:
    from swath.watch.server_runs import ServerRuns


@dataclass(frozen=True)
class OnServerOptions:
    """Options of `pipe watch --server`."""

    project: str | None = None
    """Name of the project on the server; that of its only one, or of the folder, when not given."""
    labels: tuple[str, ...] = ()


MOST_ON_SERVER = 1000
"""Runs that a server is asked for at the same time: its agents decide how many go on."""


def watch(start: Path, most_runs: int | None, server: OnServerOptions | None, *, once: bool) -> int:
    """Watch until a signal; with `once`, until nothing is left to do now."""
    project = trusted_project(start)
    most_runs = most_runs or (1 if server is None else MOST_ON_SERVER)
    watching = Watching(project, _say, most_runs, None if server is None else _server_runs(project, server), once)
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


def _server_runs(project: Project, options: OnServerOptions) -> ServerRuns:
    from swath.protocol.client import Client, ClientLimits
    from swath.protocol.logins import Logins
    from swath.watch.server_runs import ServerRuns

    login = Logins.of_user().find()
    name = options.project or only_project(Client(login.url, login.token), project.root / FILE)
    return ServerRuns(Client(login.url, login.token, ClientLimits(tries=1)), name, options.labels)


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
