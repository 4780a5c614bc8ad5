"""A RemoteFile for GDAL: rasterio opens it through an opener, and errors of its requests are raised when GDAL is done.

GDAL's callbacks lose exceptions, and it would take what its memory held before for bytes that are missing. So a handle gives
zeros or nothing, keeps the error, and `raise_fetch_errors` raises it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from weakref import WeakSet

from rasterio.abc import MultiByteRangeResourceContainer
from rasterio.io import DatasetReader

from swath.errors import ReadFailed, SwathError
from swath.imagery.remote.remote_file import RemoteFile
from swath.storage.address import redacted


class _Handle:
    """A RemoteFile with a position. Lives until GDAL closes it: GDAL has its address, and rasterio would drop it sooner."""

    _open: ClassVar[set[_Handle]] = set()

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0
        self._open.add(self)

    def read(self, size: int = -1) -> bytes:
        """Fewer bytes where the file ends; none where they cannot be fetched."""
        stop = self._file.size if size < 0 else min(self._at + size, self._file.size)
        try:
            data = self._file.ranges([(self._at, max(stop, self._at))])[0]
        except SwathError as error:
            _failed.error = error
            return b""
        self._at += len(data)
        return data

    def get_byte_ranges(self, offsets: Any, sizes: Any) -> list[bytes]:
        """Each range with its full size; zeros where it cannot be fetched."""
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
        self._open.discard(self)

    def __enter__(self) -> _Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Opener(MultiByteRangeResourceContainer):  # type: ignore[misc]  # rasterio ships no types
    """What rasterio.open(opener=) takes: a file system with one file. So GDAL finds no side-car file either."""

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


_OPENERS: dict[Any, Any] = {}
_EXIT_STACKS: dict[Any, Any] = {}


def share_openers() -> None:
    """Make rasterio's openers and open files known in the current context. Call it before files are opened or closed.

    rasterio (1.4) keeps them in context variables. A call's context ends with the call, but its files stay open for the next
    call: without this, the opener would be gone while GDAL still uses it.
    """
    import rasterio._vsiopener as vsiopener

    for name, shared in (("_OPENER_REGISTRY", _OPENERS), ("_OPEN_FILE_EXIT_STACKS", _EXIT_STACKS)):
        variable = getattr(vsiopener, name, None)
        if variable is not None and (known := variable.get(None)) is not shared:
            shared.update(known or {})
            variable.set(shared)


_datasets: WeakSet[DatasetReader] = WeakSet()


def close_at_exit(dataset: DatasetReader) -> DatasetReader:
    """Have `dataset` closed before the interpreter ends: GDAL would call its opener when there is no Python any more."""
    _datasets.add(dataset)
    return dataset


@atexit.register
def _close_all() -> None:
    if _datasets:
        share_openers()
    for dataset in list(_datasets):
        dataset.close()


class _Failed(threading.local):
    """The error of this thread's last request that failed inside of GDAL."""

    error: SwathError | None = None


_failed = _Failed()


@contextmanager
def raise_fetch_errors() -> Iterator[None]:
    """Raise the error of a request that failed in the body: at its end, or in place of what GDAL raises in it."""
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
