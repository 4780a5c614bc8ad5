"""Tables of triggers.sqlite, the state of a project's triggers, as steps: a new file takes all, an older one those it has not had."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from swath.errors import StateError

STEPS = (
    """
    CREATE TABLE triggers (
        name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, considered REAL NOT NULL, looked REAL, look_now INTEGER NOT NULL DEFAULT 0,
        cursor TEXT NOT NULL DEFAULT 'null', paused TEXT NOT NULL DEFAULT '', missed TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE firings (
        id INTEGER PRIMARY KEY, trigger TEXT NOT NULL, key TEXT NOT NULL, due REAL NOT NULL, not_before REAL NOT NULL, expires REAL,
        made REAL NOT NULL, settings TEXT NOT NULL, found TEXT NOT NULL, state TEXT NOT NULL, run TEXT NOT NULL DEFAULT '',
        stop TEXT NOT NULL DEFAULT '', started REAL, ended REAL, status TEXT NOT NULL DEFAULT '', text TEXT NOT NULL DEFAULT '',
        UNIQUE (trigger, key)
    ) STRICT;
    CREATE INDEX open_firings ON firings (trigger, id) WHERE state <> 'ended';
    CREATE INDEX done_firings ON firings (trigger, ended) WHERE status = 'done';
    CREATE TABLE ticks (
        id INTEGER PRIMARY KEY, trigger TEXT NOT NULL, first REAL NOT NULL, at REAL NOT NULL, times INTEGER NOT NULL,
        outcome TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX ticks_of_trigger ON ticks (trigger, id);
    """,
)


def migrate(connection: sqlite3.Connection, file: Path) -> None:
    """Bring a file to the newest version, in one transaction. Raises StateError when it is newer than this code."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > len(STEPS):
            raise StateError(
                f"{file} was written by a newer swath (version {found}, this one knows {len(STEPS)})",
                remedy="upgrade swath",
            )
        for step in STEPS[found:]:
            for statement in step.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
