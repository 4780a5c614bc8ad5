"""Errors of the journal, with what the user can do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from swath.engine.stored_result import DamagedResult
from swath.errors import StateError


@contextlib.contextmanager
def translated_errors(file: Path) -> Iterator[None]:
    """Raise SQLite's errors as StateError, with what the user can do."""
    try:
        yield
    except sqlite3.Error as error:
        raise state_error(error, file) from error


def state_error(error: sqlite3.Error, file: Path) -> StateError:
    """An error of SQLite in a file, with what the user can do."""
    text = str(error)
    remedy = "set SWATH_HOME to another folder, or move this file away"
    if "full" in text or "disk I/O" in text:
        remedy = "free some space, or set SWATH_HOME to another disk"
    elif "locked" in text or "busy" in text:
        remedy = "another process has locked it for long: wait for it or end it"
    return StateError(f"the journal {file}: {text}", remedy=remedy)


def damaged_row(key: str) -> DamagedResult:
    """The error for a row of results that is not as it was written."""
    return DamagedResult(
        f"a stored result is damaged: the row of {key} in the journal is another call's",
        remedy="run again with --fresh to compute it again",
    )
