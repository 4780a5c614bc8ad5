"""`pipe cancel`: stop a run of this machine from another terminal."""

from __future__ import annotations

import signal
import socket
import sys
import time

from swath.cli.history import open_journal
from swath.engine.journal import RunRow
from swath.engine.process import Process
from swath.errors import CredentialsError, StateError, UsageError

POLL_S = 0.1


def cancel_run(run: str, wait_s: float) -> int:
    """Send the run's process what Ctrl-C sends it, and wait until it has ended."""
    with open_journal() as journal:
        row = journal.find(run)
        process = Process(row.host, row.pid, row.process_started)
        _check(row, process)
        _interrupt(process, row)
        print(f"asked {row.id} to stop (process {row.pid}); waiting for its end", file=sys.stderr)
        deadline = time.monotonic() + wait_s
        while not process.gone():
            if journal.find(row.id).status not in ("running", "crashed"):
                break  # it has written how it ended; the process itself may take a moment more
            if time.monotonic() > deadline:
                raise StateError(
                    f"{row.id} has not ended after {wait_s:g} s",
                    remedy=f"`pipe cancel {row.id}` again makes it leave at once",
                )
            time.sleep(POLL_S)
        row = journal.find(row.id)
    print(f"{row.id} {row.status}; go on with: pipe resume {row.id}", file=sys.stderr)
    return 0


def _check(row: RunRow, process: Process) -> None:
    if row.status == "crashed" or (row.status == "running" and process.gone()):
        raise UsageError(f"{row.id} is not running: its process is gone", remedy=f"go on with: pipe resume {row.id}")
    if row.status != "running":
        raise UsageError(f"{row.id} is not running: it is {row.status}", remedy="`pipe runs` shows what is running")
    if row.host != socket.gethostname():
        raise UsageError(f"{row.id} runs on {row.host}, this is {socket.gethostname()}", remedy="cancel it there")


def _interrupt(process: Process, row: RunRow) -> None:
    import psutil

    try:
        # psutil compares start times again before it sends, so that a pid given to another process is not hit.
        found = psutil.Process(process.pid)
        if process.gone():
            raise psutil.NoSuchProcess(process.pid)
        found.send_signal(signal.SIGINT)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise CredentialsError(
            f"process {process.pid} of {row.id} belongs to another user", remedy="cancel it as that user"
        ) from None
