"""Identity of a process: host, pid and start time. It says whether the process that something belongs to is still running."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process on a host. The start time distinguishes it from a later process with the same pid."""

    host: str
    pid: int
    started: float
    """Seconds since the machine was booted; since the epoch on systems other than Linux."""
    pid_space: str = ""
    """What the pid is unique in: see `pid_space`. Empty where it is not known: then the host's name decides."""

    @classmethod
    def this(cls) -> Process:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """A process that runs on this host. Raises psutil.NoSuchProcess when it has ended."""
        return cls(socket.gethostname(), pid, process_start_s(pid), pid_space())

    @property
    def here(self) -> bool:
        """Whether this process can see it: it runs, or ran, on this host, since its last boot and in the same container."""
        return self.host == socket.gethostname() and (not self.pid_space or self.pid_space == pid_space())

    def gone(self) -> bool:
        """Whether it has ended. False for a process on another host, of which nothing is known."""
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


def pid_space() -> str:
    """The boot of this machine and the pid namespace of this process, such as `1f0c...-4026531836`: containers share a boot, and
    hosts of one image may share a name, but a pid means one process only within both. Empty on systems other than Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()  # random(4)
        namespace = Path("/proc/self/ns/pid").readlink().name  # pid_namespaces(7), such as pid:[4026531836]
    except OSError:
        return ""
    return f"{boot}-{namespace.strip('pid:[]')}"


def process_start_s(pid: int) -> float:
    """Start time of a process as in `Process.started`. psutil's own, on Linux, changes when the clock is set.

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
