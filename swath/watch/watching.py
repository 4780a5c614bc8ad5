"""`pipe watch` as a loop: one process for a project's triggers, until it is told to end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from swath.errors import Locked, SpecError, StateError, UsageError
from swath.project.project import Project
from swath.spec.project_root import FILE
from swath.storage.private_folder import make_private
from swath.triggers.load import ProjectTriggers, read_triggers
from swath.watch.project_runs import ProjectRuns
from swath.watch.store import TriggerStore
from swath.watch.watcher import RunStarter, Watcher

LOCK = "triggers.lock"
TURN_S = 1.0
"""Time between two turns."""


@dataclass
class TriggerFile:
    """The triggers of a swath.yaml, read again when the file was changed."""

    root: Path
    _stamp: tuple[int, int] | None = None
    _found: ProjectTriggers | SpecError | None = None

    def __call__(self) -> ProjectTriggers:
        """Raises SpecError with every mistake."""
        try:
            facts = (self.root / FILE).stat()
            stamp = facts.st_mtime_ns, facts.st_size
        except OSError:
            stamp = (0, 0)
        if self._found is None or stamp != self._stamp:
            self._stamp = stamp
            try:
                self._found = read_triggers(self.root)
            except SpecError as error:
                self._found = error
        if isinstance(self._found, SpecError):
            raise self._found
        return self._found


@dataclass
class Watching:
    """The loop with its files. `stop` is set from elsewhere, such as by a signal."""

    project: Project
    say: Callable[[str], None]
    most_runs: int = 1
    runs: RunStarter | None = None
    """Starts the runs; child processes of this one when not given."""
    once: bool = False
    """End when nothing is left to do now."""
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Watch. Raises SpecError for a wrong swath.yaml, UsageError without triggers, Locked where another process watches."""
        read = TriggerFile(self.project.root)
        if not read().triggers:
            raise UsageError(
                f"{self.project.root / FILE} has no triggers", remedy="docs/triggers.md says how to write one"
            )
        with watch_lock(self.project.state), TriggerStore.open(self.project.state) as store:
            runs = self.runs or ProjectRuns(self.project.root, self.project.state)
            watcher = Watcher(read, store, runs, self.most_runs, self.once, say=self.say)
            try:
                self._loop(watcher)
            finally:
                watcher.close()

    def _loop(self, watcher: Watcher) -> None:
        problem = ""
        while not self.stop.is_set():
            try:
                watcher.turn()
                if self.once and not watcher.busy:
                    return
                problem = ""
            except StateError as error:  # a full disk, or a file that is locked for long: the next turn tries again
                if self.once:
                    raise
                if str(error) != problem:
                    problem = str(error)
                    self.say(f"{error.message}; trying again")
            self.stop.wait(TURN_S)


@contextlib.contextmanager
def watch_lock(state: Path) -> Iterator[None]:
    """Hold the lock of a state folder's triggers. Raises Locked when another process has it."""
    try:
        make_private(state)
        handle = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateError(
            f"the state folder {state} cannot be written: {error}",
            remedy="set SWATH_HOME to a folder that you can write",
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            raise Locked(
                f"`pipe watch` runs for this project already{f' (process {holder})' if holder.isdecimal() else ''}",
                remedy="end that one first; `pipe trigger ls` shows its triggers",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_watched(state: Path) -> bool:
    """Whether a process watches the triggers of a state folder."""
    try:
        handle = os.open(state / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
