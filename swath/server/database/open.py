"""Opens the database that an address names."""

from __future__ import annotations

from pathlib import Path

from swath.errors import UsageError
from swath.server.database.backup import copy_database
from swath.server.database.database import Database
from swath.server.database.schema import STEPS, database_version, migrate


def open_database(address: str) -> Database:
    """The database at a file's path or a `postgresql://` address, with today's tables.

    Raises UsageError for an address of another kind, DatabaseUnavailable when it does not answer, StateError when it was written
    by a newer swath or another server uses the file. Of a file with tables of an older swath a copy is made beside it before they are
    changed.
    """
    database, file = _connected(address)
    try:
        found = database_version(database)
        if file is not None and 0 < found < len(STEPS):  # an upgrade has no way back but this one
            copy = file.with_name(f"{file.stem}.v{found}{file.suffix}")
            if not copy.exists():
                copy_database(file, copy)
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database


def version_of(address: str) -> int:
    """Number of steps that the database at an address has had. Raises as open_database, and UsageError where there is none."""
    if "://" not in address and not Path(address).is_file():
        raise UsageError(f"there is no database {address}", remedy="--data names the folder of the server")
    database, _ = _connected(address)
    try:
        return database_version(database)
    finally:
        database.close()


def _connected(address: str) -> tuple[Database, Path | None]:
    """A database with the tables that it has; and its file."""
    scheme, mark, _ = address.partition("://")
    if not mark:
        from swath.server.database.sqlite import SqliteDatabase

        return SqliteDatabase(address), Path(address)
    if scheme in ("postgresql", "postgres"):
        from swath.server.database.postgres import PostgresDatabase

        return PostgresDatabase(address), None
    raise UsageError(f"{scheme}:// is no database of a server", remedy="give a file's path, or postgresql://HOST/NAME")
