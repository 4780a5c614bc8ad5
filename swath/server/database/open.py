"""Opens the database that an address names."""

from __future__ import annotations

from swath.errors import UsageError
from swath.server.database.database import Database
from swath.server.database.schema import migrate


def open_database(address: str) -> Database:
    """The database at a file's path or a `postgresql://` address, with today's tables.

    Raises UsageError for an address of another kind, DatabaseUnavailable when it does not answer, StateError when it was written
    by a newer swath or another server uses the file.
    """
    scheme, mark, _ = address.partition("://")
    database: Database
    if not mark:
        from swath.server.database.sqlite import SqliteDatabase

        database = SqliteDatabase(address)
    elif scheme in ("postgresql", "postgres"):
        from swath.server.database.postgres import PostgresDatabase

        database = PostgresDatabase(address)
    else:
        raise UsageError(
            f"{scheme}:// is no database of a server", remedy="give a file's path, or postgresql://HOST/NAME"
        )
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database
