"""Content identity of files: a short text that differs when a file's content may have changed, without reading the file.

This is the one rule by which results of calls depend on files (docs/decisions/0020-content-identity.md):

- A local file is its size, modification time, change time and inode, with those of the sidecars that GDAL reads with it. The change
  time cannot be set by programs, so a file that was replaced with its size and modification time kept is another file.
- A local folder is all files in it.
- A remote file is its size, ETag and Last-Modified, as far as the server sends them.

How servers are asked is in swath.imagery.remote.identities.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR

UNKNOWN = "unknown-"
"""Start of the identities of files that could not be asked: each is unique, so that no result is reused for such a file."""

_ANY = (".aux.xml", ".ovr", ".msk")
"""Sidecars of rasters, appended to the whole name."""
_WORLD = (".wld", ".aux", ".prj", ".tab")
"""Sidecars of rasters with the file's stem, beside those of _world_file."""
_VECTORS = {
    ".shp": (".shx", ".dbf", ".prj", ".cpg", ".qpj", ".cst"),
    ".dbf": (".shp", ".shx", ".prj", ".cpg"),
    ".tab": (".dat", ".map", ".id", ".ind"),
    ".mif": (".mid",),
    ".gml": (".gfs", ".xsd"),
    ".csv": (".csvt", ".prj"),
}
"""Sidecars of vector files with the file's stem, by the suffix of the file."""
_JOURNALS = dict.fromkeys((".gpkg", ".sqlite", ".db"), ("-wal", "-journal"))
"""Of databases, appended to the whole name: changes that are not in the database file yet."""


@dataclass(frozen=True)
class RemoteFacts:
    """What a server says about a file."""

    size: int | None = None
    """Bytes."""
    etag: str = ""
    modified: str = ""
    """Time of the last modification, as the server writes it."""


def local_identity(path: Path) -> str:
    """The identity of a file with its sidecars, or of a folder with all its files. Raises OSError when there is none."""
    status = path.stat()
    if not S_ISDIR(status.st_mode):
        parts = [_of_status(status), *(f"{name}:{_of_status(each)}" for name, each in _sidecars(path))]
        return parts[0] if len(parts) == 1 else f"{parts[0]}+{_digest(parts)}"
    return f"folder-{_digest(_of_folder(path))}"


def remote_identity(facts: RemoteFacts) -> str:
    """The identity of a remote file; one that is never the same again when the server sends neither ETag nor Last-Modified."""
    if not facts.etag and not facts.modified:
        return unknown_identity()
    return f"{facts.size}-{facts.etag}-{facts.modified}"


def unknown_identity() -> str:
    """An identity that no file had before: what depends on it is computed again."""
    return UNKNOWN + uuid.uuid4().hex


def is_unknown(identity: str) -> bool:
    """Whether an identity stands for a file that could not be asked."""
    return identity.startswith(UNKNOWN)


def _of_status(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def _sidecars(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    suffix = path.suffix.lower()
    if suffix in _VECTORS:
        names = [path.stem + ending for ending in _VECTORS[suffix]]
    elif suffix in _JOURNALS:
        names = [path.name + ending for ending in _JOURNALS[suffix]]
    else:
        names = [path.name + ending for ending in _ANY]
        names += [path.stem + ending for ending in (*_world_files(suffix), *_WORLD) if ending != suffix]
    for name in names:
        stem_of_name, dot, ending = name.rpartition(".")
        for each in dict.fromkeys((name, f"{stem_of_name}{dot}{ending.upper()}")):
            try:
                status = path.with_name(each).stat()
            except OSError:
                continue
            if status.st_size:  # an empty journal is that of a reader
                yield each, status


def _world_files(suffix: str) -> tuple[str, ...]:
    """Suffixes of the world file of a raster, such as .tfw, .tifw of a .tif."""
    letters = suffix[1:]
    return (f".{letters[0]}{letters[-1]}w", f".{letters}w") if len(letters) > 1 else ()


def _of_folder(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for here, folders, files in os.walk(folder, onerror=fail):
        folders.sort()
        for name in sorted(files):
            file = Path(here) / name
            try:
                yield f"{file.relative_to(folder)}:{_of_status(file.stat())}"
            except FileNotFoundError:  # a broken link, or gone since
                yield f"{file.relative_to(folder)}:missing"


def _digest(parts: Iterable[str]) -> str:
    state = hashlib.sha256()
    for part in parts:
        state.update(part.encode(errors="surrogateescape") + b"\n")
    return state.hexdigest()[:32]
