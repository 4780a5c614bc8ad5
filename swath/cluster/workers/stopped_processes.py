"""Worker processes that are stopped (SIGSTOP, a debugger): they answer nobody, and nothing but a signal ends them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable

import psutil

STOPPED_S = 60.0
"""A worker that is stopped for so long is killed; its nanny starts another one."""


class StoppedProcesses:
    """Kills processes that were stopped at each of many looks in a row. Looks are counted, not time: this process may have been
    stopped itself, together with its workers, by Ctrl-Z."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._stopped: dict[int, int] = {}

    def look(self, pids: Iterable[int]) -> list[int]:
        """Look at the processes once. Returns those that were killed."""
        self._stopped = {pid: self._stopped.get(pid, 0) + 1 for pid in pids if _is_stopped(pid)}
        killed = [pid for pid, looks in self._stopped.items() if looks >= self._looks]
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return killed


def _is_stopped(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False
