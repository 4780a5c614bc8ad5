"""Scratch folders of worker processes: one for each cluster, gone with it; what a killed client left goes at the next start."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swath.engine.process import Process

TICKS = 100
"""Of a process's start time, in a second: names hold whole numbers."""


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder in `folder`, named after this process."""
    sweep(folder)
    folder.mkdir(parents=True, exist_ok=True)
    me = Process.this()
    own = Path(tempfile.mkdtemp(prefix="", suffix=f".{me.pid}.{round(me.started * TICKS)}.{me.host}", dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run uses it
            folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove the folders of processes of this machine that have ended, and `folder` itself when nothing is left in it."""
    if not folder.is_dir():
        return
    for each in folder.iterdir():
        _, *named = each.name.split(".", 3)
        if len(named) == 3 and named[0].isdecimal() and named[1].isdecimal():
            pid, ticks, host = named
            if Process(host, int(pid), int(ticks) / TICKS).gone():
                shutil.rmtree(each, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
