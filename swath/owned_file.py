"""Files that only this user can write: read with checks of owner and permissions, replaced atomically."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path


def owned_text(file: Path, max_bytes: int) -> str:
    """The text of a regular file that only this user can write. Raises OSError or ValueError for any other file."""
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as stream:  # noqa: PTH123 - a handle, not a path
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise ValueError("not a file of this user only")
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError("too large")
    return content.decode()


def is_own_folder(folder: Path) -> bool:
    """Whether it is a folder, no link, of this user, who can write there and nobody else can. Raises OSError when it is not there."""
    status = folder.lstat()
    own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return own and os.access(folder, os.W_OK | os.X_OK)


def replace_text(file: Path, text: str) -> None:
    """Replace a file atomically by one that only this user can read and write."""
    part = file.with_name(f"{file.stem}.{os.getpid()}.{time.monotonic_ns()}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write(text)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
