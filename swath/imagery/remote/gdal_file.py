"""Remote files as GDAL sees them: files that are opened and read, whose bytes are fetched range by range."""

from __future__ import annotations

import atexit
import itertools
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, ClassVar
from weakref import WeakSet

from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.io import DatasetReader

from swath.errors import ReadFailed, SwathError
from swath.imagery.remote.range_cache import configured_cache
from swath.imagery.remote.range_request import PER_HOST, fetch_range
from swath.storage.address import redacted

FIRST_BYTES = 16384
"""Bytes of the first request, which also tells size and etag; and the least of any other. Headers of COGs fit in here."""
RANGE_BYTES = 4 * 2**20
"""A longer range is fetched as several of about this size, some at once."""


class RemoteFile:
    """One remote file, of which the first bytes are held. Raises what fetch raises, at once when there is no such file."""

    def __init__(self, href: str) -> None:
        self.href = href
        first = fetch_range(href, 0, FIRST_BYTES)
        self.size, self.etag, self.head = first.size, first.etag, first.data
        self._near = (0, first.data)

    @property
    def name(self) -> str:
        """A path of its own for GDAL, without what is secret in the address."""
        return f"{next(_numbers)}/{PurePosixPath(redacted(self.href)).name}"

    def ranges(self, wanted: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of each (start, stop); what is missing is fetched, several pieces at once."""
        pieces = [(start, stop, _pieces(start, min(stop, self.size))) for start, stop in wanted]
        every = [piece for _, _, parts in pieces for piece in parts]
        found = iter(
            [self._piece(*every[0])] if len(every) == 1 else _pool(os.getpid()).map(lambda p: self._piece(*p), every)
        )
        return [b"".join(next(found) for _ in parts) for _, _, parts in pieces]

    def _piece(self, start: int, stop: int) -> bytes:
        at, near = self._near
        if at <= start and stop <= at + len(near):
            return near[start - at : stop - at]
        # Some more than a few bytes of a header: the next ones are wanted at once.
        reach = min(max(stop, start + FIRST_BYTES), self.size)
        kept = configured_cache() if self.etag else None
        data = kept.get(self.href, self.etag, start, reach) if kept is not None else None
        if data is None:
            answer = fetch_range(self.href, start, reach)
            if (answer.size, answer.etag) != (self.size, self.etag):
                raise ReadFailed(
                    f"{redacted(self.href)}: the file changed while it was read",
                    remedy="Run again, to read it as it is now.",
                )
            data = answer.data
            if kept is not None:
                kept.put(self.href, self.etag, start, reach, data)
        if reach > stop:
            self._near = (start, data)
        return data[: stop - start]


_numbers = itertools.count()


def _pieces(start: int, stop: int) -> list[tuple[int, int]]:
    count = max(1, (stop - start) // RANGE_BYTES)
    edges = [start + (stop - start) * number // count for number in range(count + 1)]
    return list(itertools.pairwise(edges)) if stop > start else []


@lru_cache(maxsize=1)
def _pool(pid: int) -> ThreadPoolExecutor:
    """Threads of this process that wait for servers; how many ask one host at once is for fetch to say."""
    return ThreadPoolExecutor(2 * PER_HOST, "fetch")


class _Handle:
    """A RemoteFile with a position. Lives until GDAL closes it: GDAL has its address, and rasterio would let go of it sooner."""

    _open: ClassVar[set[_Handle]] = set()

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0
        self._open.add(self)

    def read(self, size: int = -1) -> bytes:
        """Fewer bytes where the file ends; none where they cannot be fetched (the error waits for `raise_fetch_errors`)."""
        stop = self._file.size if size < 0 else min(self._at + size, self._file.size)
        try:
            data = self._file.ranges([(self._at, max(stop, self._at))])[0]
        except SwathError as error:
            _failed.error = error
            return b""
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Any, sizes: Any) -> list[bytes]:
        """Each range whole. GDAL would take what its memory held before for bytes that are missing, and its callbacks lose
        exceptions: what is missing is zeros, and the error waits for `raise_fetch_errors` to raise it.
        """
        wanted = [(int(offset), int(offset) + int(size)) for offset, size in zip(offsets, sizes, strict=True)]
        try:
            found = self._file.ranges(wanted)
            if any(len(data) < stop - start for data, (start, stop) in zip(found, wanted, strict=True)):
                last = max(stop for _, stop in wanted)
                raise ReadFailed(
                    f"{redacted(self._file.href)}: the file is truncated: it ends at byte {self._file.size:,}, its pixels go on to "
                    f"byte {last:,}",
                    remedy="Copy it again from where it came, and compare the sizes.",
                )
        except SwathError as error:
            _failed.error = error
            return [bytes(stop - start) for start, stop in wanted]
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """Nothing but this object is held open."""
        self._open.discard(self)

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Opener(MultiByteRangeResourceContainer):  # type: ignore[misc]  # rasterio ships no types
    """What rasterio.open(opener=) takes: the only file there is, is the given one. So GDAL finds no side-car either."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file

    def open(self, path: str, mode: str = "r", **_: object) -> _Handle:
        return _Handle(self._file)

    def isfile(self, path: str) -> bool:
        return True

    def isdir(self, path: str) -> bool:
        return False

    def ls(self, path: str) -> list[str]:
        return []

    def mtime(self, path: str) -> int:
        return 0

    def rm(self, path: str) -> None:
        raise OSError("a file that is read is not removed")

    def size(self, path: str) -> int:
        return self._file.size


_REGISTRY: dict[Any, Any] = {}
_STACKS: dict[Any, Any] = {}


def share_openers() -> None:
    """Have rasterio find, wherever a file was opened, what it knows of it. To be called before files are opened or closed.

    rasterio (1.4) keeps its openers and open files in context variables. A call's context ends with the call, a file stays open
    for the next one: without this, what belongs to it would be gone, while GDAL still uses it.
    """
    import rasterio._vsiopener as vsiopener

    for name, shared in (("_OPENER_REGISTRY", _REGISTRY), ("_OPEN_FILE_EXIT_STACKS", _STACKS)):
        variable = getattr(vsiopener, name, None)
        if variable is not None and (known := variable.get(None)) is not shared:
            shared.update(known or {})
            variable.set(shared)


_datasets: WeakSet[DatasetReader] = WeakSet()


def close_at_exit(dataset: DatasetReader) -> DatasetReader:
    """See that `dataset` is closed before Python ends: GDAL would call its opener when there is no Python any more."""
    _datasets.add(dataset)
    return dataset


@atexit.register
def _close_all() -> None:
    if _datasets:
        share_openers()
    for dataset in list(_datasets):
        dataset.close()


class _Failed(threading.local):
    error: SwathError | None = None


_failed = _Failed()


@contextmanager
def raise_fetch_errors() -> Iterator[None]:
    """Raise, at the end of the body or in place of what GDAL raises in it, the error of a fetch that failed in the body."""
    before, _failed.error = _failed.error, None
    try:
        yield
    except Exception as error:
        if _failed.error is not None:
            raise _failed.error from error
        raise
    else:
        if _failed.error is not None:
            raise _failed.error
    finally:
        _failed.error = before
