"""What the server asks of a database: transactions over SQL that SQLite and PostgreSQL both understand.

Statements have `?` for values. Rows are mappings from column to value. Times are seconds since the epoch, by the server's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from swath.errors import InfrastructureError

Row = Mapping[str, Any]


class DatabaseUnavailable(InfrastructureError):
    """The database cannot be reached, is locked for long, or has no room. What was asked was not done, and may be asked again."""

    retryable = True


class Connection(Protocol):
    """One transaction."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement. Returns its rows: of SELECT, and of RETURNING."""
        ...

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each sequence of values."""
        ...


class Database(Protocol):
    """A database. Safe for threads. Every method raises DatabaseUnavailable when the database does not answer in its time."""

    skip_locked: str
    """What a SELECT inside of an UPDATE needs so that two transactions do not take one row; empty where one writes at a time."""

    contains: str
    """The condition, after a column, that its text contains what `containing` makes a pattern of, in any case of the letters."""

    for_update: str
    """What a SELECT needs so that its row stays as it is until the transaction ends; empty where one writes at a time."""

    migration_lock: str
    """The statement with which a transaction waits for others that create tables or the first token; empty where one writes at a
    time."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Everything inside is committed together, or not at all."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """For statements that change nothing."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
