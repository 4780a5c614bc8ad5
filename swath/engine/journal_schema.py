"""The schema of the journal, as migrations: a new file takes all of them, an older one those that it has not had."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from swath.errors import StateError

MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, name TEXT NOT NULL, spec_path TEXT NOT NULL, spec_text TEXT NOT NULL,
        overrides TEXT NOT NULL, cluster TEXT NOT NULL, root TEXT NOT NULL, status TEXT NOT NULL, started REAL NOT NULL,
        finished REAL, exit_code INTEGER, error TEXT NOT NULL DEFAULT '', host TEXT NOT NULL, pid INTEGER NOT NULL,
        process_started REAL NOT NULL, outputs TEXT NOT NULL DEFAULT '[]', git TEXT NOT NULL DEFAULT '{}'
    ) STRICT;
    CREATE TABLE calls (
        run TEXT NOT NULL REFERENCES runs(id), node TEXT NOT NULL, item INTEGER NOT NULL, key TEXT NOT NULL,
        state TEXT NOT NULL, attempt INTEGER NOT NULL, worker TEXT NOT NULL DEFAULT '', finished REAL,
        seconds REAL, error TEXT NOT NULL DEFAULT '', traceback TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run, node, item)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE results (
        key TEXT PRIMARY KEY, digest TEXT NOT NULL, size INTEGER NOT NULL, data BLOB, made REAL NOT NULL, run TEXT NOT NULL
    ) STRICT;
    CREATE TABLE logs (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), time REAL NOT NULL, level TEXT NOT NULL,
        node TEXT NOT NULL, item INTEGER, worker TEXT NOT NULL, text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX logs_of_run ON logs (run, id);
    CREATE TABLE leases (
        id TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs(id), kind TEXT NOT NULL, made REAL NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE runs ADD COLUMN heartbeat REAL;
    ALTER TABLE runs ADD COLUMN fresh INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE calls ADD COLUMN cpu_s REAL;
    ALTER TABLE calls ADD COLUMN memory INTEGER;
    CREATE TABLE nodes (
        run TEXT NOT NULL REFERENCES runs(id), node TEXT NOT NULL, code TEXT NOT NULL, version TEXT NOT NULL,
        shared TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (run, node)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE INDEX failed_calls ON calls (run) WHERE state = 'failed';
    """,
    """
    ALTER TABLE runs ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';
    """,
    """
    ALTER TABLE runs ADD COLUMN pid_space TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN cancel TEXT NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE runs ADD COLUMN paused_s REAL NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE results ADD COLUMN checksum INTEGER;
    """,
)


def migrate(connection: sqlite3.Connection, file: Path) -> None:
    """Bring a journal to the newest version, in one transaction. Raises StateError when it is newer than this code."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found == len(MIGRATIONS):
        return
    if found > len(MIGRATIONS):
        raise StateError(
            f"{file} was written by a newer swath (version {found}, this one knows {len(MIGRATIONS)})",
            remedy="upgrade swath",
        )
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again inside: another process may have migrated it meanwhile.
        for migration in MIGRATIONS[connection.execute("PRAGMA user_version").fetchone()[0] :]:
            for statement in migration.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself rolls back when the disk is full
            connection.execute("ROLLBACK")
        raise
