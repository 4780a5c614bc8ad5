"""Read a model's zip archive (.pt2, TorchScript): entries are checked before any is read, and each must be known by its name.

Readers of zip files differ: torch's finds names without regard to case and reads what others take for damage. So an archive that
swath did not write is read here only, and torch gets an archive that was written anew from the entries that passed.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import ModelError

CODE = "holds pickled objects or compiled code, which could do anything when loaded"
"""What messages say of an archive with entries that are not data."""
REMEDY = "export it with torch.export.save from a model that has only tensors"

_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_NAME = re.compile(r"[!-~][ -~]*")


@dataclass(frozen=True)
class ArchiveLimits:
    """How much of an archive is read."""

    entries: int = 20_000
    ratio: int = 4
    """All entries together are at most so many times as large as the file ..."""
    spare_bytes: int = 256 << 20
    """... and so many bytes more, as text compresses well."""
    text_bytes: int = 64 << 20
    """Of one entry that is text."""


@dataclass(frozen=True)
class Layout:
    """The names of entries that a kind of archive may have, below its one folder."""

    kind: str
    """Such as `a torch.export archive`."""
    data: tuple[str, ...]
    """Patterns of entries that are read, or may be there and are never read."""

    def knows(self, name: str) -> bool:
        return any(re.fullmatch(pattern, name) for pattern in self.data)


_COMMON = (r"version", r"byteorder", r"\.data/[\w.]+", r"\.format_version", r"\.storage_alignment")
_MODEL = r"[\w.-]+"
TORCH_EXPORT = Layout(
    "a torch.export archive",
    (
        *_COMMON, r"archive_format", r"archive_version", rf"models/{_MODEL}\.json", rf"data/sample_inputs/{_MODEL}\.pt",
        rf"data/weights/({_MODEL}_weights_config\.json|{_MODEL}\.pt|weight_\d+)",
        rf"data/constants/({_MODEL}_constants_config\.json|{_MODEL}\.pt|tensor_\d+)", r"extra/.+",
    ),
)  # fmt: skip
OLD_TORCH_EXPORT = Layout(
    "a torch.export archive of torch 2.7 or before",
    (
        r"version", r"serialized_exported_program\.json", r"serialized_(state_dict|constants)\.(pt|json)",
        r"serialized_example_inputs\.pt", r"extra_files/.+",
    ),
)  # fmt: skip
TORCHSCRIPT = Layout(
    "a TorchScript archive",
    (
        *_COMMON, r"(data|constants|attributes|traced_inputs|bytecode|mobile_debug_handles)\.pkl", r"code/[\w./]+\.py(\.debug_pkl)?",
        r"(data|constants|attributes|traced_inputs)/\w+", r"extra/.+",
    ),
)  # fmt: skip
SAVED_TENSORS = Layout("a file of torch.save", (*_COMMON, r"data\.pkl", r"data/\w+"))


class ModelArchive:
    """The entries of a zip archive, by their names below its one folder."""

    def __init__(self, source: str | bytes, path: str, limits: ArchiveLimits | None = None) -> None:
        """`source` is the file or its bytes; `path` is what messages call it.

        Raises ModelError for an archive that is damaged, encrypted, larger than its directory states, or whose names are not unique.
        """
        self.path = path
        self._limits = limits or ArchiveLimits()
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source)
            size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, zlib.error) as error:
            raise ModelError(f"{path}: not a zip archive, or a damaged one: {error}") from error
        self._check_sizes(size)
        self.folder, self._entries = self._by_name()

    def __enter__(self) -> ModelArchive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Below the archive's one folder, in the order of the file."""
        return tuple(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """Of an entry, in bytes, unpacked. Raises ModelError when it is not there."""
        return self._entry(name).file_size

    def read(self, name: str) -> bytes:
        """All of an entry. Raises ModelError when it is not there or damaged."""
        entry = self._entry(name)
        try:
            data = self._zip.read(entry)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
            ValueError,
            NotImplementedError,
        ) as error:
            raise ModelError(f"{self.path}: {name} is damaged: {error}") from error
        if len(data) != entry.file_size:
            raise ModelError(f"{self.path}: {name} is damaged: {len(data)} bytes instead of {entry.file_size}")
        return data

    def text(self, name: str) -> str:
        """An entry that is text. Raises ModelError."""
        if self.size(name) > self._limits.text_bytes:
            raise ModelError(f"{self.path}: {name} has {self.size(name)} bytes of text, more than swath reads")
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ModelError(f"{self.path}: {name} is damaged: {error}") from error

    def json(self, name: str) -> Any:
        """An entry that is a JSON document. Raises ModelError."""
        try:
            return json.loads(self.text(name))
        except ValueError as error:
            raise ModelError(f"{self.path}: {name} is no JSON: {error}") from error
        except RecursionError:
            raise ModelError(f"{self.path}: {name} is nested more deeply than a model is") from None

    def check(self, layout: Layout) -> None:
        """Raise ModelError for an entry that this kind of archive does not have."""
        for name in self.names:
            if not layout.knows(name):
                raise ModelError(f"{self.path}: {CODE}: {name} is no part of {layout.kind}", remedy=REMEDY)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        try:
            return self._entries[name]
        except KeyError:
            raise ModelError(f"{self.path}: not a whole archive: {name} is missing") from None

    def _check_sizes(self, file_size: int) -> None:
        entries, limits = self._zip.infolist(), self._limits
        if len(entries) > limits.entries:
            raise ModelError(f"{self.path}: {len(entries)} entries are more than swath reads")
        for entry in entries:
            if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _COMPRESSIONS:
                raise ModelError(f"{self.path}: {_shown(entry.filename)} is encrypted or compressed in an unknown way")
        packed, unpacked = sum(each.compress_size for each in entries), sum(each.file_size for each in entries)
        if packed > file_size or unpacked > limits.ratio * file_size + limits.spare_bytes:
            raise ModelError(
                f"{self.path}: {file_size} bytes unpack to {unpacked}, more than a model does",
                remedy="export the model again; torch does not compress weights",
            )

    def _by_name(self) -> tuple[str, dict[str, zipfile.ZipInfo]]:
        names = [entry.filename for entry in self._zip.infolist() if not entry.filename.endswith("/")]
        for name in names:
            parts = name.split("/")
            if not _NAME.fullmatch(name) or "\\" in name or any(part in ("", ".", "..") for part in parts):
                raise ModelError(f"{self.path}: {CODE}: an entry is called {_shown(name)}", remedy=REMEDY)
        seen: dict[str, str] = {}
        for name in names:
            other = seen.setdefault(name.lower(), name)
            if other is not name:
                why = f"{_shown(other)} and {_shown(name)} are one name to torch's reader"
                raise ModelError(f"{self.path}: {CODE}: {why}", remedy=REMEDY)
        folders = {name.partition("/")[0] if "/" in name else "" for name in names}
        folder = folders.pop() if len(folders) == 1 else ""
        start = len(folder) + 1 if folder else 0
        known = set(names)
        return folder, {each.filename[start:]: each for each in self._zip.infolist() if each.filename in known}


def write_archive(folder: str, entries: Iterable[tuple[str, bytes]]) -> bytes:
    """An uncompressed archive of one folder."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for name, data in entries:
            target.writestr(f"{folder}/{name}", data)
    return archive.getvalue()


def _shown(name: str) -> str:
    return repr(name[:100])[1:-1]
