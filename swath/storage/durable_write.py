"""Writing files so that a full disk is noticed: errors that name the file and the free space, sync, checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.errors import TaskFailed

_CHUNK = 1 << 20


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What goes wrong in the body while `path` is written becomes a TaskFailed with the path and the free space."""
    try:
        yield
    except _failures() as error:
        raise not_written(path, str(error)) from error


def not_written(path: Path, why: str) -> TaskFailed:
    """The error that says that `path` is not there, or not whole."""
    return TaskFailed(
        f"{path} could not be written: {why} ({_free(path)})",
        remedy="make room or choose another place with output.to; what was there before is untouched, finished blocks are kept",
    )


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _failures() -> tuple[type[Exception], ...]:
    """What a write may raise. Who writes no rasters has not imported rasterio, and need not for this."""
    if "rasterio" not in sys.modules:
        return (OSError,)
    from rasterio._err import CPLE_BaseError  # of GDAL's copy; rasterio gives it no public name
    from rasterio.errors import RasterioError

    return OSError, RasterioError, CPLE_BaseError


def _free(path: Path) -> str:
    for folder in path.parents:
        if folder.is_dir():
            return f"{shutil.disk_usage(folder).free} bytes are free in {folder}"
    return "its folder does not exist"
