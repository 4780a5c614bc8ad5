"""The server's database in one SQLite file, for one server process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.errors import StateError
from swath.server.database.database import DatabaseUnavailable, Row
from swath.storage.private_folder import make_private, make_private_file


@dataclass(frozen=True)
class SqliteLimits:
    """Times of a database in a file."""

    lock_timeout_s: float = 10.0
    """How long a statement waits for another program that has the file locked, such as a backup."""


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return [dict(row) for row in self._db.execute(sql, values)]

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.executemany(sql, rows)


class SqliteDatabase:
    """A file. Writers wait for each other; readers wait for nobody."""

    contains = "LIKE ? ESCAPE '!'"  # in any case of ASCII letters; lower() would take twice as long
    skip_locked = ""
    for_update = ""
    migration_lock = ""

    def __init__(self, file: str, limits: SqliteLimits = SqliteLimits()) -> None:
        """Raises StateError when another server uses the file, or when it cannot be made."""
        self._file = Path(file)
        self._limits = limits
        self._writing = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        try:
            make_private(self._file.parent)
            self._lock = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            make_private_file(self._file)
        except OSError as error:
            raise StateError(
                f"the server's database {self._file} cannot be made: {error}", remedy="give another folder by --data"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 40, 0).decode(errors="replace").strip()
            os.close(self._lock)
            raise StateError(
                f"another server uses {self._file} (process {holder or 'unknown'})",
                remedy="end it first; several server processes need --database postgresql://...",
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses. Threads come and go: connections are kept for the next one."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connected()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._file, timeout=self._limits.lock_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -32768"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        with self._translated(), self._turn(), self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Threads of this process take turns here: SQLite's own waiting sleeps and does not keep an order."""
        if not self._writing.acquire(timeout=self._limits.lock_timeout_s):
            raise DatabaseUnavailable("the server's database is busy", remedy="try again")
        try:
            yield
        finally:
            self._writing.release()

    @contextlib.contextmanager
    def reading(self) -> Iterator[_Transaction]:
        with self._translated(), self._connection() as connection:
            connection.execute("BEGIN")  # all statements inside see the same state
            try:
                yield _Transaction(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = "make room on its disk" if "full" in str(error) else "try again; see who has the file open"
            raise DatabaseUnavailable(f"the server's database {self._file}: {error}", remedy=remedy) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise
            raise StateError(f"the server's database {self._file}: {error}", remedy="take a backup of it") from error

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        os.close(self._lock)
