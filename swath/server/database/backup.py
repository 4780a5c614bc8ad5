"""Copies of a server's database file, while a server uses it."""

from __future__ import annotations

from pathlib import Path

from swath.errors import UsageError
from swath.storage.database_copy import copy_sqlite


def copy_database(source: Path, target: Path) -> int:
    """Copy a SQLite database in one consistent state. Writers do not wait for it. Returns the size of the copy in bytes.

    Raises UsageError when there is no database or the target exists, StateError when it cannot be copied.
    """
    if not source.is_file():
        raise UsageError(f"there is no database {source}", remedy="--data names the folder of the server")
    if target.exists():
        raise UsageError(f"{target} exists", remedy="give the copy another name")
    copy_sqlite(source, target)  # it has digests of tokens, specs and logs: only this user can read it
    return target.stat().st_size
