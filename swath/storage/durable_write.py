"""Durable writes: errors that name the file and the free space, fsync, checksums."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swath.errors import TaskFailed

_CHUNK = 1 << 20


@contextmanager
def writing(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """While the body writes `path`, an OSError, or one of `errors`, becomes a TaskFailed with the path and the free space.

    `errors` are what the library that writes the file raises beside OSError.
    """
    caught: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except caught as error:
        raise not_written(path, str(error)) from error


def not_written(path: Path, why: str) -> TaskFailed:
    """The error for a file that is missing or incomplete."""
    return TaskFailed(
        f"{path} could not be written: {why} ({_free_space(path)})",
        remedy="make room or choose another place with output.to; what was there before is untouched, finished blocks are kept",
    )


def sync(path: Path) -> None:
    """Flush a file's bytes, or a folder's entries, to the disk."""
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


def _free_space(path: Path) -> str:
    for folder in path.parents:
        if folder.is_dir():
            return f"{shutil.disk_usage(folder).free} bytes are free in {folder}"
    return "its folder does not exist"
