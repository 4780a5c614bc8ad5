"""Folders that only their owner can read: states of runs have specs, logs and results of calls."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def make_private(folder: Path) -> None:
    """Create a folder that only this user can read, with its parents. One that exists is left as it is. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def make_private_file(file: Path) -> None:
    """Create an empty file that only this user can read. From one of this user's that exists other users' rights are taken, and
    from its folder if that, too, is this user's and is called `.swath`. Raises OSError.

    One that exists is not opened: to close a descriptor of an SQLite database releases all locks that the process has on it.
    """
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        _tighten(file, 0o600)
        if file.parent.name == ".swath":
            _tighten(file.parent, 0o700)


def _tighten(path: Path, mode: int) -> None:
    status = path.lstat()
    kind = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    if kind and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(mode)
