"""`pipe cancel`: stop a run of this machine from another terminal."""

from __future__ import annotations

import signal
import socket
import sys
import time

from swath.cli.context import open_journal
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.process import Process
from swath.errors import CredentialsError, Interrupted, StateError, UsageError

POLL_S = 0.1
GRACE_S = 2.5
"""How long `--now` waits before the next, stronger signal."""


def cancel_run(run: str, wait_s: float, *, now: bool) -> int:
    """Send the run's process what Ctrl-C sends it, and wait until it has ended; with `now`, do not wait for long."""
    with open_journal() as journal:
        row = journal.find(run)
        process = Process(row.host, row.pid, row.process_started)
        _check(row, process)
        _send(process, row, signal.SIGINT)
        print(f"asked {row.id} to stop (process {row.pid}); waiting for its end", file=sys.stderr)
        if now:
            _end(journal, row, process)
        elif not _ended(journal, row, process, wait_s):
            raise StateError(
                f"{row.id} has not ended after {wait_s:g} s",
                remedy=f"`pipe cancel --now {row.id}` does not let it finish",
            )
        row = journal.find(row.id)
    print(f"{row.id} {row.status}; go on with: pipe resume {row.id}", file=sys.stderr)
    return 0


def _ended(journal: Journal, row: RunRow, process: Process, wait_s: float) -> bool:
    """Whether it ends in that time. One that has written how it ended has: the process may take a moment more."""
    deadline = time.monotonic() + wait_s
    while not process.gone() and journal.find(row.id).status in ("running", "crashed"):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _end(journal: Journal, row: RunRow, process: Process) -> None:
    """End it within seconds: a second signal makes it leave at once, unless it is in code that hears none."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if _ended(journal, row, process, GRACE_S):
            break
        _send(process, row, number)
    if not _ended(journal, row, process, 2 * GRACE_S):
        raise StateError(f"process {process.pid} of {row.id} does not end, even killed", remedy="look at it with `ps`")
    if journal.find(row.id).status == "crashed":  # it had no time to say so itself
        text = "cancelled at once"
        journal.finish_run(row.id, Interrupted.status, Interrupted.exit_code, text, [])


def _check(row: RunRow, process: Process) -> None:
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
