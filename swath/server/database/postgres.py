"""The server's database in PostgreSQL, for any number of server processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swath.errors import MissingExtra
from swath.server.database.database import DatabaseUnavailable, Row
from swath.server.refusals import Refusal

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True)
class PostgresLimits:
    """Connections and times of a PostgreSQL database."""

    connections: int = 20
    timeout_s: float = 10.0
    """For a connection, for one statement, and for a lock."""


class _Transaction:
    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._db = connection

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        cursor = self._db.execute(_translated(sql), values)
        return list(cursor.fetchall()) if cursor.description is not None else []

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._db.cursor() as cursor:
            cursor.executemany(_translated(sql), list(rows))


def _translated(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


class PostgresDatabase:
    """A PostgreSQL database."""

    contains = "ILIKE ? ESCAPE '!'"
    skip_locked = "FOR UPDATE SKIP LOCKED"
    for_update = "FOR UPDATE"
    migration_lock = "SELECT pg_advisory_xact_lock(7951162)"

    def __init__(self, address: str, limits: PostgresLimits = PostgresLimits()) -> None:
        """address: as of libpq, such as postgresql://user@host/name. Raises DatabaseUnavailable when it does not answer."""
        try:
            from psycopg.rows import dict_row
            from psycopg_pool import ConnectionPool
        except ImportError:
            raise MissingExtra("psycopg", "server", "a server with PostgreSQL") from None
        milliseconds = int(limits.timeout_s * 1000)
        self._limits = limits
        self._pool: Any = ConnectionPool(
            address,
            min_size=1,
            max_size=limits.connections,
            timeout=limits.timeout_s,
            check=ConnectionPool.check_connection,  # one that was cut is replaced before it is used
            open=False,
            kwargs={
                "row_factory": dict_row,
                "connect_timeout": int(limits.timeout_s),
                "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            },
        )
        with self._available():
            self._pool.open(wait=True, timeout=limits.timeout_s)

    @contextlib.contextmanager
    def _available(self) -> Iterator[None]:
        import psycopg
        from psycopg_pool import PoolTimeout

        try:
            yield
        except psycopg.DataError as error:  # such as a NUL in a text
            raise Refusal(f"a value that PostgreSQL does not store: {type(error).__name__}", status=422) from error
        except (
            psycopg.OperationalError,
            psycopg.InternalError,
            PoolTimeout,
        ) as error:  # OperationalError: also timeouts and full disks
            raise DatabaseUnavailable(
                f"the server's database does not answer: {str(error).strip()}",
                remedy="see whether PostgreSQL is up, then try again",
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        with self._available(), self._pool.connection() as connection:
            yield _Transaction(connection)

    reading = transaction

    def close(self) -> None:
        self._pool.close()
