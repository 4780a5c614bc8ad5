"""Copies of a server's database file, while a server uses it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from swath.errors import StateError, UsageError
from swath.storage.private_folder import make_private_file


def copy_database(source: Path, target: Path) -> int:
    """Copy a SQLite database in one consistent state. Writers do not wait for it. Returns the size of the copy in bytes.

    Raises UsageError when there is no database or the target exists, StateError when it cannot be copied.
    """
    if not source.is_file():
        raise UsageError(f"there is no database {source}", remedy="--data names the folder of the server")
    if target.exists():
        raise UsageError(f"{target} exists", remedy="give the copy another name")
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        make_private_file(temporary)  # it has digests of tokens, specs and logs
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
            ) as database,
            contextlib.closing(sqlite3.connect(temporary)) as copy,
        ):
            database.backup(copy)  # all pages in one step: one that is done in parts begins again with every write
            copy.execute("PRAGMA journal_mode = DELETE")
            (found,) = copy.execute("PRAGMA quick_check").fetchone()
            if found != "ok":
                raise StateError(f"{source} is damaged: {found}", remedy="restore an earlier copy")
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return target.stat().st_size
