"""Paths and URLs as text: whether one is on this machine, whether it exists, and what it is relative to."""

# os.path takes any text; pathlib raises for names that are too long and for users that do not exist.
# ruff: noqa: PTH110, PTH111
from __future__ import annotations

import os
from pathlib import Path


def is_remote(path: str) -> bool:
    """Whether it is a URL, or one of GDAL's virtual paths: neither is a file of this machine."""
    return "://" in path or path.startswith("/vsi")


def absolute(path: str, root: Path) -> str:
    """The path from `root` on, with `~` expanded and `..` resolved; a URL is left alone."""
    return path if is_remote(path) else os.path.normpath(root / os.path.expanduser(path))


def is_missing(path: str) -> bool:
    """Whether it is a path on this machine where nothing is."""
    return not is_remote(path) and not os.path.exists(path)
