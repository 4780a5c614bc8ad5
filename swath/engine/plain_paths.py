"""Finds arguments that are plain texts and name a file: a call's key does not change when such a file does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import PurePath
from typing import Any

FIRST = 100
"""So many items of a list or a mapping are looked at."""
DEEPEST = 4


def plain_path(value: Any, depth: int = 0) -> str | None:
    """The first text or pathlib path in a value that names a file of this machine; not those of InputPath and OutputPath fields."""
    if type(value) is str or isinstance(value, PurePath):
        return str(value) if _names_file(str(value)) else None
    if depth == DEEPEST:
        return None
    parts: Iterable[Any] = ()
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, (tuple, list)):
        parts = value
    elif hasattr(type(value), "model_fields"):
        parts = (getattr(value, name) for name in type(value).model_fields)
    found = (plain_path(part, depth + 1) for part in islice(parts, FIRST))
    return next((path for path in found if path is not None), None)


def _names_file(text: str) -> bool:
    """A word such as `red` is no path, even where a file has that name."""
    if not (os.sep in text or "." in text) or len(text) > 4096:
        return False
    try:
        return os.path.isfile(text)  # noqa: PTH113 - any text
    except ValueError:
        return False
