"""Malicious model files, derived from good ones: archives with changed entries, and objects that leave a trace when unpickled."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Entries = dict[str, bytes]


class Attack:
    """Unpickling it makes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.folder),))


def entries_of(archive: Path | bytes) -> Entries:
    """The entries of an archive by their names below its folder."""
    with zipfile.ZipFile(io.BytesIO(archive) if isinstance(archive, bytes) else archive) as source:
        return {name.partition("/")[2]: source.read(name) for name in source.namelist()}


def write_entries(path: Path, entries: Mapping[str, bytes], folder: str = "model") -> Path:
    """An archive of these entries in one folder."""
    with zipfile.ZipFile(path, "w") as target:
        for name, data in entries.items():
            target.writestr(f"{folder}/{name}" if folder else name, data)
    return path


def changed_document(good: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A .pt2 archive whose JSON document `change` has changed."""
    entries = entries_of(good)
    (name,) = (name for name in entries if name.startswith("models/"))
    document = json.loads(entries[name])
    change(document)
    entries[name] = json.dumps(document).encode()
    return write_entries(to, entries)


def saved(value: object, legacy: bool = False) -> bytes:
    """What torch.save writes."""
    data = io.BytesIO()
    torch.save(value, data, _use_new_zipfile_serialization=not legacy)
    return data.getvalue()


class Plain(nn.Module):
    """One weight and one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.weight[0]


def script(path: Path, module: nn.Module | None = None) -> Path:
    """A TorchScript file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.* is deprecated", category=DeprecationWarning)
        torch.jit.save(torch.jit.script(module or Plain()), str(path))  # type: ignore[no-untyped-call]
    return path


def script_with(good: Path, to: Path, body: str, methods: str = "", before: str = "") -> Path:
    """A TorchScript file whose forward method has this body (lines), with other methods and code before its class."""
    entries = entries_of(good)
    code = entries["code/__torch__/tests/models/safety/crafted.py"].decode()
    head, _, _ = code.partition("  def forward")
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    forward = f"  def forward(self: __torch__.tests.models.safety.crafted.Plain,\n    x: Tensor) -> Tensor:\n{lines}"
    entries["code/__torch__/tests/models/safety/crafted.py"] = (before + head + forward + methods).encode()
    return write_entries(to, {name: data for name, data in entries.items() if not name.endswith(".debug_pkl")})
