"""A disk cache of ranges that were fetched, for later reads and later runs on this machine. Off by default.

`SWATH_CACHE` names the folder, `SWATH_CACHE_SIZE` the most bytes in it (10GB when not set). Several processes may use one folder:
each entry is a file that appears whole, named after the hash of URL, etag and range, with a checksum. The least recently used
entries are removed first.
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
"""A temporary file is removed after this long: the process that wrote it has died."""


class RangeCache:
    """A folder of ranges with at most `max_bytes` bytes."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._written: float = max_bytes  # so that the first write of a process looks at what is there
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, href: str, etag: str, start: int, stop: int) -> bytes | None:
        """The bytes of an entry; None when there is none, or it is damaged."""
        path = self._path(href, etag, start, stop)
        try:
            entry = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        data = entry[_DIGEST:]
        return data if entry[:_DIGEST] == _digest(data) else None

    def put(self, href: str, etag: str, start: int, stop: int, data: bytes) -> None:
        """Store `data`; nothing happens when that fails, so that a full disk stops no read."""
        if len(data) + _DIGEST > self.max_bytes // 4:
            return
        # Old entries are removed before the write. Each process may write a sixteenth before it looks again.
        self._written += len(data) + _DIGEST
        if self._written >= self.max_bytes // 16 and self._evict():
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
        # Without its query: a signature says nothing of the file's content, and is secret.
        name = hashlib.sha256("\n".join((redacted(href), etag, f"{start}-{stop}")).encode()).hexdigest()
        return self.folder / name[:2] / name

    def _evict(self) -> bool:
        """Remove the least recently used entries until three quarters of the size are left. False when another process is doing so."""
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
                if total <= self.max_bytes * 3 // 4:
                    break
                with contextlib.suppress(OSError):
                    path.unlink()
                    total -= size
        return True


def configured_cache() -> RangeCache | None:
    """The cache that the environment names; None when it names none. Raises UsageError when its size cannot be parsed."""
    folder = os.environ.get(FOLDER)
    return _open_cache(os.getpid(), folder, os.environ.get(SIZE, "")) if folder else None


@lru_cache(maxsize=4)
def _open_cache(pid: int, folder: str, size: str) -> RangeCache:
    try:
        return RangeCache(Path(folder).expanduser(), size_in_bytes(size) if size else DEFAULT_BYTES)
    except OSError as error:
        raise UsageError(
            f"{FOLDER}: {folder}: {error.strerror}", remedy="Name a folder that can be written."
        ) from error


def size_in_bytes(text: str) -> int:
    """Bytes of a size such as 500MB, 10 GiB or 1000000. Raises UsageError."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"{SIZE}: {error}", remedy="Write 500MB, 10GB or 10GiB.") from None


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
