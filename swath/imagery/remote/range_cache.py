"""Range cache: bytes that were fetched before, kept on this machine for the next read and the next run, when asked for.

`SWATH_CACHE` names the folder, `SWATH_CACHE_SIZE` the most bytes in it (10GB when not set). Several processes may use one folder:
each entry is a file that appears whole, under a name made of address, etag and range, and holds a checksum of its own. What was
not used for longest goes first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from functools import lru_cache
from pathlib import Path

from swath.errors import UsageError
from swath.storage.address import redacted
from swath.units import parse_size

FOLDER, SIZE = "SWATH_CACHE", "SWATH_CACHE_SIZE"
DEFAULT_BYTES = 10 * 10**9
_DIGEST = 16
_STALE_S = 3600
"""An unfinished file of a process that died goes after this long."""


class RangeCache:
    """A folder of ranges, of at most `most` bytes."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self.most = folder, most
        self._written: float = most  # so that the first write of a process looks at what others left
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, href: str, etag: str, start: int, stop: int) -> bytes | None:
        """What was kept; None when there is nothing, or it is damaged."""
        path = self._path(href, etag, start, stop)
        try:
            kept = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        data = kept[_DIGEST:]
        return data if kept[:_DIGEST] == _digest(data) else None

    def put(self, href: str, etag: str, start: int, stop: int, data: bytes) -> None:
        """Keep `data`. What cannot be kept is not: a full disk stops no read."""
        if len(data) + _DIGEST > self.most // 4:
            return
        # Room is made before the write, for what all processes may write until one looks again.
        self._written += len(data) + _DIGEST
        if self._written >= self.most // 16 and self._make_room():
            self._written = len(data) + _DIGEST
        path = self._path(href, etag, start, stop)
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(exist_ok=True)
            new.write_bytes(_digest(data) + data)
            new.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()

    def _path(self, href: str, etag: str, start: int, stop: int) -> Path:
        # Without its query: a signature is no part of what a file is, and is not to be kept.
        name = hashlib.sha256("\n".join((redacted(href), etag, f"{start}-{stop}")).encode()).hexdigest()
        return self.folder / name[:2] / name

    def _make_room(self) -> bool:
        """Remove what was not used for longest, until three quarters are left. One process at a time; the others go on, and try
        again with their next write: False."""
        try:
            lock = (self.folder / "lock").open("w")
        except OSError:
            return False
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            entries = []
            for path in self.folder.glob("??/*"):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    if path.name.startswith(".") and status.st_mtime < time.time() - _STALE_S:
                        path.unlink()
                    else:
                        entries.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in entries)
            for _, size, path in sorted(entries):
                if total <= self.most * 3 // 4:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= size
        return True


def configured_cache() -> RangeCache | None:
    """The cache that the environment names; None when it names none. Raises UsageError when its size cannot be read."""
    folder = os.environ.get(FOLDER)
    return _made(os.getpid(), folder, os.environ.get(SIZE, "")) if folder else None


@lru_cache(maxsize=4)
def _made(pid: int, folder: str, size: str) -> RangeCache:
    try:
        return RangeCache(Path(folder).expanduser(), in_bytes(size) if size else DEFAULT_BYTES)
    except OSError as error:
        raise UsageError(
            f"{FOLDER}: {folder}: {error.strerror}", remedy="Name a folder that can be written."
        ) from error


def in_bytes(text: str) -> int:
    """Bytes of a size such as 500MB, 10 GiB or 1000000. Raises UsageError."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"{SIZE}: {error}", remedy="Write 500MB, 10GB or 10GiB.") from None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
