"""Whether any installed package names an entry point group: a quick look, because reading all of them takes long."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path


def group_exists(group: str) -> bool:
    """False only when no package on `sys.path` has an entry point in the group.

    importlib.metadata parses every package's metadata, which costs a command's start more than all the rest does; here
    only the text of the files is looked at.
    """
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    return any(_on(Path(entry or "."), f"[{group}]") for entry in dict.fromkeys(sys.path))


def _on(place: Path, header: str) -> bool:
    if not place.is_dir():
        return place.exists()  # an archive: not looked into here
    for pattern in ("*-info/entry_points.txt", "*.egg/EGG-INFO/entry_points.txt"):
        for file in place.glob(pattern):
            try:
                if header in file.read_text(encoding="utf-8", errors="replace"):
                    return True
            except OSError:
                return True
    return False
