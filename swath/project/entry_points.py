"""Entry points of installed packages, read from their files without importlib.metadata where that is possible.

importlib.metadata parses the metadata of every package, which takes longer than the rest of a command's start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class InstalledPoint:
    """One entry point."""

    package: str
    """Name of the installed package."""
    name: str
    value: str
    """`module`, or `module:attribute`."""

    @property
    def module(self) -> str:
        """The dotted name of the module."""
        return self.value.partition("[")[0].partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """The dotted path of the object in the module; empty when the module itself is meant."""
        return self.value.partition("[")[0].partition(":")[2].strip()


@dataclass(frozen=True)
class InstalledPackages:
    """The packages on `sys.path`, and their entry points of one group."""

    points: tuple[InstalledPoint, ...]
    """The entry points."""
    folders: tuple[str, ...]
    """Folders of the packages' metadata, such as `.../numpy-2.3.1.dist-info`, sorted: they change when a package comes, goes or
    changes its version."""


def installed(group: str) -> InstalledPackages:
    """The packages on `sys.path`, with their entry points of a group. A file that cannot be read has no entry points."""
    folders: dict[str, str] = {}
    complete = not any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder)
    for place in dict.fromkeys(sys.path):
        try:
            entries = os.scandir(place or ".")
        except NotADirectoryError:
            complete = False  # an archive
            continue
        except OSError:
            continue
        with entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")) or entry.name == "EGG-INFO":
                    package = Path(place).name if entry.name == "EGG-INFO" else entry.name
                    # As for modules, the first one on sys.path takes effect.
                    folders.setdefault(package.partition("-")[0].lower(), entry.path)
    found = tuple(sorted(folders.values()))
    points = [point for folder in found for point in _points(folder, group)] if complete else _all_points(group)
    return InstalledPackages(tuple(points), found)


def _points(folder: str, group: str) -> list[InstalledPoint]:
    text = _text(f"{folder}/entry_points.txt")
    if f"[{group}]" not in text:
        return []
    metadata = _text(f"{folder}/METADATA") or _text(f"{folder}/PKG-INFO")
    package = next((line[5:].strip() for line in metadata.splitlines() if line.startswith("Name:")), folder)
    return [InstalledPoint(package, name, value) for name, value in _section(text, group)]


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Names and values of one section of an entry_points.txt."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and line and not line.startswith("#"):
            name, equals, value = line.partition("=")
            if equals:
                yield name.strip(), value.strip()


def _text(file: str) -> str:
    """The text of a file; empty if it cannot be read. os.open is faster than pathlib, and this is called for every package."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(handle, _MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(handle)


def _all_points(group: str) -> list[InstalledPoint]:
    """Through importlib.metadata, which also knows archives and the finders of other tools."""
    from importlib.metadata import entry_points

    return [InstalledPoint(p.dist.name if p.dist else p.value, p.name, p.value) for p in entry_points(group=group)]
