"""Stops a run from another process: a request in its journal, a signal where its process is on this host, and waiting for its end."""

from __future__ import annotations

import getpass
import signal
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.engine.journal_rows import CancelRequest
from swath.errors import CredentialsError, Interrupted, StateError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swath.engine.journal import Journal
    from swath.engine.journal_rows import RunRow
    from swath.engine.process import Process


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
    reason: str = "",
    say: Callable[[str], None] = lambda text: None,
    limits: CancelLimits = CancelLimits(),
) -> RunRow:
    """Ask a run to stop and wait until it has ended. Its journal gets who asks, and why; a process on this host gets SIGINT, one on
    another host that shares the state folder reads the journal with its next heartbeat. With `now` a second signal follows, which
    ends the process at once, and then SIGKILL. `say` gets a line when the run has been asked. Returns the run's row.

    Raises UsageError when the run is not running, or with `now` when it runs on another host, CredentialsError when its process is
    another user's, and StateError when it does not end.
    """
    row = journal.find(run)
    process = row.process
    _check_running(row, process)
    if now and not process.here:
        raise UsageError(
            f"{row.id} runs on {row.host}, or in another container of this host: its process cannot be ended from here",
            remedy=f"`pipe cancel {row.id}` asks it to stop, from any host; `--now` works where it runs",
        )
    journal.request_cancel(row.id, CancelRequest(f"{_user()}@{socket.gethostname()}", reason, time.time()))
    if process.here:
        _send(process, row, signal.SIGINT)
        say(f"asked {row.id} to stop (process {row.pid}); waiting for its end")
    else:
        say(f"asked {row.id} on {row.host} to stop; it reads that within seconds; waiting for its end")
    if now:
        _kill(journal, row, process, limits)
    elif not _ended(journal, row, process, limits.timeout_s, limits):
        hint = f"`pipe cancel --now {row.id}` does not let it finish" + ("" if process.here else f", on {row.host}")
        raise StateError(f"{row.id} has not ended after {limits.timeout_s:g} s", remedy=hint)
    return journal.find(row.id)


def _user() -> str:
    """Name of the user; in a container their number may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def _ended(journal: Journal, row: RunRow, process: Process, within_s: float, limits: CancelLimits) -> bool:
    """Whether the run ends in that time. One whose end is in the journal has: the process may take a moment more."""
    deadline = time.monotonic() + within_s
    running = ("running", "crashed") if process.here else ("running",)
    while not process.gone() and journal.find(row.id).status in running:
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
        request = journal.cancel_request(row.id)
        text = f"{request}, at once" if request else "cancelled at once"
        journal.finish_run(row.id, Interrupted.status, Interrupted.exit_code, text, [])


def _check_running(row: RunRow, process: Process) -> None:
    if row.status == "crashed" or (row.status == "running" and process.gone()):
        raise UsageError(f"{row.id} is not running: its process is gone", remedy=f"go on with: pipe resume {row.id}")
    if row.status != "running":
        raise UsageError(f"{row.id} is not running: it is {row.status}", remedy="`pipe runs` shows what is running")


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
