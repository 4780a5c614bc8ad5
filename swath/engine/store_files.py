"""The files of a result store, as they lie there: ROOT/xx/yyyy..., where xxyyyy... is the digest of what is in them."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import StateError
from swath.storage.filesystem import filesystem_and_path

READ_BYTES = 16 * 2**20
"""Larger files are pixels and the like: nothing in them names another file."""


@dataclass(frozen=True)
class StoreFile:
    """One file."""

    path: str
    """Path or URL."""
    size: int
    modified: float
    """Seconds of the epoch."""


class StoreFiles:
    """What lies in the store with this root: a local folder, or an fsspec URL. Raises StateError when that cannot be read."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self.files: dict[str, StoreFile] = {}
        """By digest."""
        self.temporary: list[StoreFile] = []
        """Files that were never finished."""
        try:
            for name, file in self._remote() if "://" in root else self._local():
                if name.endswith(".tmp"):
                    self.temporary.append(file)
                else:
                    self.files[name] = file
        except OSError as error:
            raise StateError(f"the results in {root} cannot be listed: {error}") from error

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in (*self.files.values(), *self.temporary))

    def read(self, digest: str) -> bytes | None:
        """What is in a small file; None of a large one, or one that is gone."""
        file = self.files.get(digest)
        if file is None or file.size > READ_BYTES:
            return None
        try:
            if "://" not in self.root:
                return Path(file.path).read_bytes()
            filesystem, path = filesystem_and_path(file.path)
            return bytes(filesystem.cat_file(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"a kept result cannot be read: {file.path}: {error}") from error

    def remove(self, path: str) -> None:
        """Remove a file, if it is still there."""
        try:
            if "://" not in self.root:
                Path(path).unlink(missing_ok=True)
                return
            filesystem, place = filesystem_and_path(path)
            filesystem.rm_file(place)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"a result cannot be removed: {path}: {error}") from error

    def _local(self) -> Iterator[tuple[str, StoreFile]]:
        if not Path(self.root).is_dir():
            return
        for folder in os.scandir(self.root):
            if len(folder.name) == 2 and folder.is_dir(follow_symlinks=False):
                for file in os.scandir(folder):
                    facts = file.stat(follow_symlinks=False)
                    yield folder.name + file.name, StoreFile(file.path, facts.st_size, facts.st_mtime)

    def _remote(self) -> Iterator[tuple[str, StoreFile]]:
        filesystem, root = filesystem_and_path(self.root)
        for path, facts in filesystem.find(root, detail=True).items():
            folder, _, name = path.removeprefix(root).strip("/").rpartition("/")
            if len(folder) == 2:
                place = f"{self.root}/{folder}/{name}"
                yield folder + name, StoreFile(place, int(facts["size"] or 0), _modified(facts))


def _modified(facts: dict[str, Any]) -> float:
    """When a remote file was written; file systems name it differently. The end of time where none is told."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        found = facts.get(name)
        if isinstance(found, str):
            found = datetime.datetime.fromisoformat(found)
        if isinstance(found, datetime.datetime):
            return found.timestamp()
        if isinstance(found, (int, float)):
            return float(found)
    return float("inf")
