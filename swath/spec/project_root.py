"""The root of a project: the nearest folder at or above a path that has a swath.yaml. Reads no file, imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

FILE = "swath.yaml"
"""Name of a project's settings file."""


def project_root(start: Path) -> Path:
    """The nearest folder at or above `start` (a file or a folder) that has a swath.yaml, else `start`'s own. Absolute."""
    start = start.expanduser().absolute()
    folder = start if start.is_dir() else start.parent
    return next((root for root in (folder, *folder.parents) if has_settings(root)), folder)


def has_settings(root: Path) -> bool:
    """Whether a folder has a swath.yaml. A named pipe or a device counts: to read it is an error, rather than another root."""
    return (root / FILE).exists() and not (root / FILE).is_dir()
