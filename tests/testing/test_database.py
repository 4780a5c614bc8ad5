"""Both databases of the server run the conformance suite; and databases that are wrong in one thing fail the test of that thing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.server.database.database import Connection, Database
from swath.server.database.postgres import PostgresDatabase
from swath.server.database.sqlite import SqliteDatabase
from swath.testing.database import DatabaseTests, Opened
from tests.server.conftest import Postgres, postgres

__all__ = ["postgres"]


class TestSqlite(DatabaseTests):
    @pytest.fixture
    def opened(self, tmp_path: Path) -> Opened:
        return lambda: SqliteDatabase(str(tmp_path / "server.sqlite"))


class TestPostgres(DatabaseTests):
    @pytest.fixture
    def opened(self, postgres: Postgres) -> Opened:
        address = postgres.new_database()
        return lambda: PostgresDatabase(address)


class Wrapped:
    """A database over SQLite, right as it is; subclasses are wrong in one thing."""

    def __init__(self, file: Path) -> None:
        self._inner = SqliteDatabase(str(file))
        self.skip_locked, self.for_update, self.migration_lock = "", "", ""
        self.contains = self._inner.contains

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._inner.transaction() as db:
            yield db

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        with self._inner.reading() as db:
            yield db

    def close(self) -> None:
        self._inner.close()


class CommitsHalf(Wrapped):
    """What is done before an error stays."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        failed: list[BaseException] = []
        with self._inner.transaction() as db:
            try:
                yield db
            except Exception as error:  # noqa: BLE001
                failed.append(error)
        if failed:
            raise failed[0]


class ReadsInTransaction(Wrapped):
    """Readers see what a transaction has not committed."""

    _open: Connection | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._inner.transaction() as db:
            self._open = db
            yield db
        self._open = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        if self._open is not None:
            yield self._open
            return
        with self._inner.reading() as db:
            yield db


class _Rounding:
    def __init__(self, inner: Connection) -> None:
        self._inner = inner

    def execute(self, sql: str, values: Any = ()) -> Any:
        return self._inner.execute(sql, values)

    def execute_many(self, sql: str, rows: Any) -> None:
        self._inner.execute_many(sql, [tuple(float(v) if isinstance(v, int) else v for v in row) for row in rows])


class RoundsIntegers(Wrapped):
    """Large integers lose their last digits."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self._inner.transaction() as db:
            yield _Rounding(db)


class MindsCase(Wrapped):
    """Texts are found by the letters that they have."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self.contains = "GLOB '*' || trim(?, '%') || '*'"


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (MindsCase, "test_a_text_contains_another_in_any_case_of_its_letters"),
        (CommitsHalf, "test_a_transaction_that_raises_leaves_nothing"),
        (ReadsInTransaction, "test_what_is_not_committed_is_seen_by_nobody_else"),
        (RoundsIntegers, "test_rows_are_mappings_with_the_values_that_were_written"),
    ],
)
def test_a_database_that_is_wrong_in_one_thing_fails_that_test(
    kind: Callable[[Path], Database], test: str, tmp_path: Path
) -> None:
    def outcome(make: Callable[[Path], Database], file: Path) -> bool:
        database = make(file)
        with database.transaction() as db:
            db.execute("CREATE TABLE suite (name TEXT PRIMARY KEY, number BIGINT, real DOUBLE PRECISION)")
        try:
            getattr(DatabaseTests(), test)(database)
        except (AssertionError, pytest.fail.Exception):
            return False
        finally:
            database.close()
        return True

    assert outcome(Wrapped, tmp_path / "right.sqlite")
    assert not outcome(kind, tmp_path / "wrong.sqlite")
