"""A process by which something can be known to be still going on: host, pid and the time it started."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process on one host. The start time tells it from a later process with the same pid."""

    host: str
    pid: int
    started: float
    """Seconds from the start of the machine; of the epoch where the system does not tell that."""

    @classmethod
    def this(cls) -> Process:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), process_start_s(os.getpid()))

    @property
    def here(self) -> bool:
        """Whether it is, or was, on this host."""
        return self.host == socket.gethostname()

    def gone(self) -> bool:
        """Whether it is known to have ended. Of another host nothing is known, so False."""
        if not self.here:
            return False
        import psutil

        try:
            found = psutil.Process(self.pid)
            return abs(process_start_s(self.pid) - self.started) > 0.01 or bool(found.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def process_start_s(pid: int) -> float:
    """When a process started. On Linux not by the wall clock: psutil's time moves when the clock is set.

    Raises psutil.NoSuchProcess.
    """
    import psutil

    if sys.platform != "linux":
        return float(psutil.Process(pid).create_time())
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    # proc(5): the second field, a name in brackets, may hold anything; the 22nd is the start in ticks.
    return int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
