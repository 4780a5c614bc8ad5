"""Runs a command and measures it: CPU of every process it started, wall time, peak memory.

Run by bench/pixels.py: python bench/cases/pixels_meter.py OUT COMMAND [WORD ...]. OUT becomes a JSON object; the exit code is
the command's. It is a process of its own so that the system counts for it: what outlives its parent is given to the meter
(Linux), so the processor time of every process is counted once, when it is reaped, and to the last tick.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

EVERY_S = 0.2
"""Between two samples of memory. Sampling a process of 1 GB takes some milliseconds."""
LEFT_S = 10.0
"""How long processes that the command left behind may take to end."""


@dataclass
class Memory:
    """The largest memory of all samples, in bytes."""

    pss: bool = Path("/proc/self/smaps_rollup").exists()
    """Whether shared pages are counted by their share (Linux); if not, each process is counted with all it has."""
    tree: int = 0
    """All processes at one time."""
    largest: dict[int, int] = field(default_factory=dict)
    """By process: the system's own peak of resident memory where it keeps one."""
    names: dict[int, str] = field(default_factory=dict)
    cpu_s: dict[int, float] = field(default_factory=dict)
    """By process, at its last sample; without its children."""

    def sample(self, root: psutil.Process) -> None:
        """Sample a process and all its descendants."""
        total = 0
        with contextlib.suppress(psutil.Error):
            for process in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error, OSError, ValueError):
                    total += self._of(process)
        self.tree = max(self.tree, total)

    def _of(self, process: psutil.Process) -> int:
        resident = process.memory_info().rss
        times = process.cpu_times()
        self.cpu_s[process.pid] = times.user + times.system
        if process.pid not in self.names:
            self.names[process.pid] = " ".join(process.cmdline()[:6])
        peak = resident
        if self.pss:
            status = Path(f"/proc/{process.pid}/status").read_text().partition("VmHWM:")[2]
            peak = int(status.split()[0]) * 1024 if status else 0
        self.largest[process.pid] = max(self.largest.get(process.pid, 0), peak)
        if not self.pss:
            return int(resident)
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return 0


def adopt_orphans() -> None:
    """Become the parent of what outlives its own, on Linux (PR_SET_CHILD_SUBREAPER)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def busy_s() -> float | None:
    """Processor seconds of the whole machine since it started; None where the system does not count them."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return float(sum(times[:8]) - idle)


def children_s() -> float:
    """Processor seconds of all children that were reaped, and of all that they reaped."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(words: list[str]) -> int:
    """Run the command."""
    out, command = Path(words[0]), words[1:]
    adopt_orphans()
    memory, done = Memory(), threading.Event()
    before, began = busy_s(), time.perf_counter()
    process = subprocess.Popen(command)
    root = psutil.Process()

    def watch() -> None:
        while not done.wait(EVERY_S):
            memory.sample(root)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    code = process.wait()
    wall_s = time.perf_counter() - began
    remaining = reap()
    done.set()
    watcher.join()
    cpu_s = children_s()
    after = busy_s()
    own = resource.getrusage(resource.RUSAGE_SELF)
    foreign = None if before is None or after is None else after - before - cpu_s - own.ru_utime - own.ru_stime
    meter = os.getpid()
    out.write_text(
        json.dumps(
            {
                "code": code, "wall_s": wall_s, "cpu_s": cpu_s, "foreign_s": foreign, "peak_bytes": memory.tree,
                "pss": memory.pss, "left": remaining,
                "processes": [
                    {"command": memory.names[pid], "peak_bytes": peak, "cpu_s": memory.cpu_s[pid]}
                    for pid, peak in memory.largest.items() if pid != meter
                ],
            }
        )
    )  # fmt: skip
    return code


def reap() -> int:
    """Wait for processes that the command left behind, so that they are counted; returns how many did not end in time."""
    until = time.monotonic() + LEFT_S
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return 0
        if not pid:
            time.sleep(0.02)
    return len(psutil.Process().children())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
