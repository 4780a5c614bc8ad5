"""A process by which something can be known to be still going on: host, pid and the time it started."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One process on one host. The start time tells it from a later process with the same pid."""

    host: str
    pid: int
    started: float
    """Seconds since the epoch."""

    @classmethod
    def this(cls) -> Process:
        """This process."""
        import psutil

        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

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
            return bool(abs(found.create_time() - self.started) > 1 or found.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False
