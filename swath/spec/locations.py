"""Paths and URLs as text: whether one is remote, whether it exists, and its absolute form."""

# os.path takes any text; pathlib raises for names that are too long and for users that do not exist.
# ruff: noqa: PTH110, PTH111
from __future__ import annotations

import os
import stat
from pathlib import Path

_SPECIAL = {
    stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}  # fmt: skip


def is_remote(path: str) -> bool:
    """Whether it is a URL or one of GDAL's virtual paths (/vsi...), not a file of this machine."""
    return "://" in path or path.startswith("/vsi")


def absolute(path: str, root: Path) -> str:
    """The path relative to `root` as an absolute one, with `~` and `..` resolved. A URL is returned as it is."""
    return path if is_remote(path) else os.path.normpath(root / os.path.expanduser(path))


def special_file(path: str) -> str:
    """What a path is, such as "a named pipe", if it is neither a file nor a folder: reading it could block or never end. Else empty."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - any text
    except (OSError, ValueError):
        return ""
    return _SPECIAL.get(stat.S_IFMT(mode), "")


def is_missing(path: str) -> bool:
    """Whether it is a path on this machine that does not exist."""
    return not is_remote(path) and not os.path.exists(path)
