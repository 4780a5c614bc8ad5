"""Runs of a project as child processes: started once under an id that is known before, found again after a restart, and stopped.

A run holds a lock file for as long as it lives, and the journal refuses a second run with its id: whoever starts it again by mistake
starts nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.journal_rows import CancelRequest, RunRow
from swath.errors import NoSuchRun, StateError
from swath.run_id import new_run_id
from swath.storage.private_folder import make_private

LOCK = "watch.lock"
"""Name of a file in the run's folder, which the run has locked."""
OUTPUT = "output.log"
"""Name of a file in the run's folder: what the run printed, as of a detached one."""
LAST_BYTES = 2000


@dataclass(frozen=True)
class RunEnd:
    """How a run has ended."""

    status: str
    """That of the journal, or `refused` when the run did not begin."""
    text: str = ""
    outputs: tuple[str, ...] = ()


class ProjectRuns:
    """Starts runs of one project, and tells how they end."""

    def __init__(self, root: Path, state: Path) -> None:
        self._root, self._state = root, state
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def new_id(self, trigger: str, key: str) -> str:
        """An id for a run of a firing."""
        return new_run_id(trigger)

    def start(self, run: str, spec: str, sets: Sequence[str], timeout_s: float | None) -> str:
        """Start a run in a session of its own, so that it outlives this process. Returns its id. Raises StateError."""
        self._launch(run, ["run", spec, "--id", run, *(word for text in sets for word in ("--set", text))], timeout_s)
        return run

    def resume(self, run: str, timeout_s: float | None) -> bool:
        """Let a run go on whose process is gone. Raises StateError."""
        self._launch(run, ["resume", run], timeout_s)
        return True

    def _launch(self, run: str, words: list[str], timeout_s: float | None) -> None:
        """Start a process that has the run's lock, unless one has it already."""
        if timeout_s is not None:
            words += ["--timeout", f"{max(1, round(timeout_s))}s"]
        folder = self._folder(run)
        try:
            for each in (self._state, folder.parent, folder):
                make_private(each)
            with self._locked(run) as lock, (folder / OUTPUT).open("ab") as output:
                if lock is None:
                    return  # it runs already
                self._children[run] = subprocess.Popen(
                    [sys.executable, "-P", "-m", "swath.cli", *words], cwd=self._root, stdin=subprocess.DEVNULL,
                    env={**os.environ, "SWATH_HOME": str(self._state)}, stdout=output, stderr=subprocess.STDOUT,
                    start_new_session=True, pass_fds=(lock,),
                )  # fmt: skip
        except OSError as error:
            raise StateError(f"a run could not be started: {error}") from error

    def end_of(self, run: str) -> RunEnd | None:
        """How a run has ended; None while it goes on. Raises NoSuchRun when it never began."""
        child = self._children.get(run)
        if child is not None and child.poll() is None:
            return None
        if child is None and self._is_locked(run):
            return None
        row = self._row(run)
        if row is not None:
            if row.status == "running":  # another process has it, such as that of `pipe resume`
                return None
            self._children.pop(run, None)
            return RunEnd(row.status, row.error, row.outputs)
        if child is None:
            raise NoSuchRun(f"{run} never began")
        del self._children[run]
        return RunEnd("refused", self._last_words(run, child.returncode))

    def stop(self, run: str, reason: str) -> None:
        """Ask a run to stop, as `pipe cancel` does; to be called again until it has ended."""
        row = self._row(run)
        if row is None or row.status != "running":
            return
        with contextlib.suppress(StateError), Journal.open(self._state) as journal:
            if journal.cancel_request(run) is not None:
                return  # it was asked already
            journal.request_cancel(run, CancelRequest("pipe watch", reason, time.time()))
        if row.process.here and not row.process.gone():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(row.pid, signal.SIGINT)

    def close(self) -> None:
        """This process ends; its runs go on."""
        for child in self._children.values():
            if child.poll() is None:
                child.returncode = 0  # nobody waits for it here: no warning about that
        self._children.clear()

    def _folder(self, run: str) -> Path:
        return self._state / "runs" / run

    @contextlib.contextmanager
    def _locked(self, run: str) -> Iterator[int | None]:
        handle = os.open(self._folder(run) / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield handle
        finally:
            os.close(handle)  # the run's process has it, too

    def _is_locked(self, run: str) -> bool:
        if not (self._folder(run) / LOCK).exists():
            return False
        with self._locked(run) as lock:
            return lock is None

    def _row(self, run: str) -> RunRow | None:
        if not (self._state / "journal.sqlite").is_file():
            return None
        with contextlib.suppress(NoSuchRun), Journal.open(self._state) as journal:
            row = journal.find(run)
            return row if row.id == run else None
        return None

    def _last_words(self, run: str, code: int | None) -> str:
        try:
            with (self._folder(run) / OUTPUT).open("rb") as output:
                size = output.seek(0, os.SEEK_END)
                output.seek(max(0, size - LAST_BYTES))
                text = output.read().decode("utf-8", "replace").strip()
        except OSError:
            text = ""
        return f"exit code {code}" + (f": {text}" if text else "")
