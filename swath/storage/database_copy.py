"""Copies of a SQLite database in one consistent state, while other processes write to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from swath.errors import StateError
from swath.storage.private_folder import make_private_file

LOCK_TIMEOUT_S = 60.0


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that is there. Writers do not wait for it, and the copy needs no file beside it. One that is there is replaced.

    Raises StateError when it cannot be copied, or is damaged.
    """
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        make_private_file(temporary)
        with (
            contextlib.closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_TIMEOUT_S)
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
