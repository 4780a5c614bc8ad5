"""Paths and URLs as text: whether one is remote, whether it exists, and its absolute form."""

# os.path takes any text; pathlib raises for names that are too long and for users that do not exist.
# ruff: noqa: PTH110, PTH111
from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

STDIN = "-"
"""A spec's path that stands for standard input."""

_HOSTED = ("http", "https", "s3", "gs", "gcs", "ftp")
_SPECIAL = {
    stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}  # fmt: skip


def is_remote(path: str) -> bool:
    """Whether it is a URL or one of GDAL's virtual paths (/vsi...), not a file of this machine."""
    return "://" in path or path.startswith("/vsi")


def bad_address(path: str) -> str:
    """What is wrong with a URL; empty for one that has a host, or a bucket, and for anything that is no URL."""
    kind, separator, _ = path.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind) or kind.lower() not in _HOSTED:
        return ""
    try:
        parts = urlsplit(path)
        _ = parts.port if kind.lower() in ("http", "https") else None
    except ValueError:  # its text may quote a secret
        return "is no address: its host or port cannot be read"
    if kind.lower() in ("s3", "gs", "gcs") and ".." in parts.path.split("/"):
        return "is no address: names of objects have no `..`"
    host = parts.hostname if kind.lower() in ("http", "https") else parts.netloc
    return (
        ""
        if host and not any(sign in host for sign in "*?[] ")
        else f"is no address: there is no host or bucket after {kind}://"
    )


def absolute(path: str, root: Path) -> str:
    """The path relative to `root` as an absolute one, with `~` and `..` resolved. A URL is returned as it is."""
    return path if is_remote(path) else os.path.normpath(root / os.path.expanduser(path))


def is_stream(path: str) -> bool:
    """Whether a spec's path is standard input or an open file descriptor, as of `<(command)` in a shell: it can be read once."""
    return path in (STDIN, "/dev/stdin") or re.fullmatch(r"/(dev|proc/self)/fd/\d+", path) is not None


def spec_folder(path: str) -> Path:
    """The folder in which a spec's project is looked for: the current one for a stream. Absolute."""
    return Path.cwd() if is_stream(path) else Path(path).absolute().parent


def spec_stem(path: str) -> str:
    """The name of a run whose spec has none: that of its file."""
    return "stdin" if is_stream(path) else Path(path).stem


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
