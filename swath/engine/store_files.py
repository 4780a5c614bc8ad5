"""Listing and removal of the files of a result store: ROOT/xx/yyyy..., where xxyyyy... is the digest of the content."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import StateError
from swath.storage.filesystem import filesystem_and_path
from swath.storage.objects import list_objects, read_object, remove_object

READ_BYTES = 16 * 2**20
"""Larger files are arrays: no digest of another file is in them."""


@dataclass(frozen=True)
class StoreFile:
    """One file."""

    path: str
    """Path or URL."""
    size: int
    modified: float
    """Seconds since the epoch."""


class StoreFiles:
    """The files below a root, a local folder or an fsspec URL. Raises StateError when it cannot be listed."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.files: dict[str, StoreFile] = {}
        """By digest."""
        self.temporary: list[StoreFile] = []
        """Files that are being written, or whose writer died."""
        try:
            for name, file in self._remote() if "://" in root else self._local():
                if name.endswith(".tmp"):
                    self.temporary.append(file)
                else:
                    self.files[name] = file
        except (OSError, ValueError) as error:
            raise StateError(f"the results in {root} cannot be listed: {error}") from error

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in (*self.files.values(), *self.temporary))

    def read(self, digest: str) -> bytes | None:
        """The content of a file of up to READ_BYTES; None of a larger one, or one that is gone."""
        file = self.files.get(digest)
        if file is None or file.size > READ_BYTES:
            return None
        try:
            if "://" not in self.root:
                return Path(file.path).read_bytes()
            return read_object(file.path, bytes)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StateError(f"a stored result cannot be read: {file.path}: {error}") from error

    def remove(self, path: str) -> None:
        """Remove a file, if it is still there."""
        try:
            if "://" not in self.root:
                Path(path).unlink(missing_ok=True)
                return
            remove_object(path)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise StateError(f"a result cannot be removed: {path}: {error}") from error

    def _local(self) -> Iterator[tuple[str, StoreFile]]:
        if not Path(self.root).is_dir():
            return
        for folder in os.scandir(self.root):
            if len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
                for file in os.scandir(folder):
                    info = file.stat(follow_symlinks=False)
                    yield folder.name + file.name, StoreFile(file.path, info.st_size, info.st_mtime)

    def _remote(self) -> Iterator[tuple[str, StoreFile]]:
        root = filesystem_and_path(self.root)[1]
        for path, info in list_objects(self.root).items():
            folder, _, name = path.removeprefix(root).strip("/").rpartition("/")
            if len(folder) == 2:
                url = f"{self.root}/{folder}/{name}"
                yield folder + name, StoreFile(url, int(info["size"] or 0), _modified(info))


def _modified(info: dict[str, Any]) -> float:
    """When a remote file was written, which file systems name differently; infinity when they do not say."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        found = info.get(name)
        if isinstance(found, str):
            found = datetime.datetime.fromisoformat(found)
        if isinstance(found, datetime.datetime):
            return found.timestamp()
        if isinstance(found, (int, float)):
            return float(found)
    return float("inf")
