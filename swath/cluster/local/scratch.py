"""Scratch folders of worker processes: one per cluster, removed with it. Folders of killed clients are removed at the next start."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from swath.engine.process import Process

TICKS = 100
"""Per second, of the process start times in folder names, which are whole numbers."""


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder in `folder` during the body, named after this process."""
    sweep(folder)
    folder.mkdir(parents=True, exist_ok=True)
    process = Process.this()
    created = Path(
        tempfile.mkdtemp(
            prefix="", suffix=f".{process.pid}.{round(process.started * TICKS)}.{process.host}", dir=folder
        )
    )
    try:
        yield created
    finally:
        shutil.rmtree(created, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run has a folder in it
            folder.rmdir()


def sweep(folder: Path) -> None:
    """Remove the folders of processes of this machine that have ended, and `folder` itself when it is empty."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for each in folder.iterdir():
        _, *parts = each.name.split(".", 3)
        if len(parts) == 3 and parts[0].isdecimal() and parts[1].isdecimal():
            pid, ticks, host = parts
            if Process(host, int(pid), int(ticks) / TICKS).gone():
                shutil.rmtree(each, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
