"""Stops a run of this host from another process: signals to its process, and waiting for its end."""

from __future__ import annotations

import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.engine.process import Process
from swath.errors import CredentialsError, Interrupted, StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swath.engine.journal import Journal
    from swath.engine.journal_rows import RunRow


@dataclass(frozen=True)
class CancelLimits:
    """Times of a cancel."""

    timeout_s: float = 60.0
    """How long to wait for the end of a run that was asked to stop."""
    grace_s: float = 2.5
    """With `now`: how long to wait before the next, stronger signal."""
    poll_s: float = 0.1


def cancel(
    journal: Journal,
    run: str,
    *,
    now: bool = False,
    say: Callable[[str], None] = lambda text: None,
    limits: CancelLimits = CancelLimits(),
) -> RunRow:
    """Send SIGINT to the process of a run and wait until the run has ended. With `now` a second one follows, which ends the process
    at once, and then SIGKILL. `say` gets a line when the process has been asked. Returns the run's row.

    Raises UsageError when the run is not running or runs on another host, CredentialsError when its process is another user's, and
    StateError when it does not end.
    """
    row = journal.find(run)
    process = Process(row.host, row.pid, row.process_started)
    _check_running(row, process)
    _send(process, row, signal.SIGINT)
    say(f"asked {row.id} to stop (process {row.pid}); waiting for its end")
    if now:
        _kill(journal, row, process, limits)
    elif not _ended(journal, row, process, limits.timeout_s, limits):
        raise StateError(
            f"{row.id} has not ended after {limits.timeout_s:g} s",
            remedy=f"`pipe cancel --now {row.id}` does not let it finish",
        )
    return journal.find(row.id)


def _ended(journal: Journal, row: RunRow, process: Process, within_s: float, limits: CancelLimits) -> bool:
    """Whether the run ends in that time. One whose end is in the journal has: the process may take a moment more."""
    deadline = time.monotonic() + within_s
    while not process.gone() and journal.find(row.id).status in ("running", "crashed"):
        if time.monotonic() > deadline:
            return False
        time.sleep(limits.poll_s)
    return True


def _kill(journal: Journal, row: RunRow, process: Process, limits: CancelLimits) -> None:
    """End the process within seconds: a second signal makes it leave at once, unless it is in code that handles none."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if _ended(journal, row, process, limits.grace_s, limits):
            break
        _send(process, row, number)
    if not _ended(journal, row, process, 2 * limits.grace_s, limits):
        raise StateError(f"process {process.pid} of {row.id} does not end, even killed", remedy="look at it with `ps`")
    if journal.find(row.id).status == "crashed":  # it had no time to write its end itself
        text = "cancelled at once"
        journal.finish_run(row.id, Interrupted.status, Interrupted.exit_code, text, [])


def _check_running(row: RunRow, process: Process) -> None:
    if row.status == "crashed" or (row.status == "running" and process.gone()):
        raise UsageError(f"{row.id} is not running: its process is gone", remedy=f"go on with: pipe resume {row.id}")
    if row.status != "running":
        raise UsageError(f"{row.id} is not running: it is {row.status}", remedy="`pipe runs` shows what is running")
    if row.host != socket.gethostname():
        raise UsageError(f"{row.id} runs on {row.host}, this is {socket.gethostname()}", remedy="cancel it there")


def _send(process: Process, row: RunRow, number: signal.Signals) -> None:
    import psutil

    try:
        # psutil compares start times again before it sends, so that a pid given to another process is not hit.
        found = psutil.Process(process.pid)
        if process.gone():
            raise psutil.NoSuchProcess(process.pid)
        found.send_signal(number)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise CredentialsError(
            f"process {process.pid} of {row.id} belongs to another user", remedy="cancel it as that user"
        ) from None
