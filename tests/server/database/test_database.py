"""What both databases do, and what each does when it is away, in use, newer, or cut off."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from swath.errors import StateError, UsageError
from swath.server.database.database import Database, DatabaseUnavailable
from swath.server.database.open import open_database
from swath.server.database.schema import STEPS, migrate, server_id, version
from swath.server.database.sqlite import SqliteDatabase, SqliteLimits
from tests.server.conftest import Postgres

ADD = "INSERT INTO meta (name, value) VALUES (?, ?)"


def names(database: Database) -> set[str]:
    with database.reading() as db:
        return {row["name"] for row in db.execute("SELECT name FROM meta")} - {"version", "server"}


def test_a_transaction_is_committed_as_a_whole_or_not_at_all(database: Database) -> None:
    with contextlib.suppress(ZeroDivisionError), database.transaction() as db:
        db.execute(ADD, ("a", "1"))
        raise ZeroDivisionError
    assert names(database) == set()
    with database.transaction() as db:
        db.execute_many(ADD, [("a", "1"), ("b", "2")])
    assert names(database) == {"a", "b"}


def test_a_database_is_opened_again_as_it_was_and_a_newer_one_is_refused(address: str) -> None:
    first = open_database(address)
    with first.transaction() as db:
        db.execute(ADD, ("a", "1"))
        assert version(db) == len(STEPS)
    first.close()
    again = open_database(address)
    assert names(again) == {"a"}
    with again.transaction() as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
    again.close()
    with pytest.raises(StateError, match="written by a newer swath") as caught:
        open_database(address)
    assert caught.value.remedy


def test_a_second_server_on_one_file_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "server.sqlite")
    first = open_database(file)
    with pytest.raises(StateError, match="another server uses") as caught:
        open_database(file)
    assert caught.value.exit_code == 6
    first.close()
    open_database(file).close()


def test_a_file_that_another_program_has_locked_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "server.sqlite"
    open_database(str(file)).close()
    database = SqliteDatabase(str(file), SqliteLimits(lock_timeout_s=0.2))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="locked"), database.transaction():
        pass
    assert names(database) == set()  # readers wait for nobody
    other.execute("COMMIT")
    other.close()
    with database.transaction() as db:
        db.execute(ADD, ("a", "1"))
    database.close()


def test_a_database_of_another_kind_and_one_that_is_away_are_refused() -> None:
    with pytest.raises(UsageError, match="mysql:// is no database of a server"):
        open_database("mysql://host/name")
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        open_database("postgresql://swath@127.0.0.1:1/none?connect_timeout=1")


def test_servers_that_start_at_once_on_an_empty_database_share_it(postgres: Postgres) -> None:
    address = postgres.new_database()
    together = Barrier(4)

    def start(number: int) -> str:
        together.wait(60)
        database = open_database(address)
        found = server_id(database)
        database.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1


@pytest.mark.slow
def test_after_postgresql_was_away_it_goes_on(postgres: Postgres) -> None:
    database = open_database(postgres.new_database())
    with database.transaction() as db:
        db.execute(ADD, ("a", "1"))
    postgres.stop()
    try:
        with pytest.raises(DatabaseUnavailable), database.transaction() as db:
            db.execute(ADD, ("b", "2"))
    finally:
        postgres.start()
    deadline = time.monotonic() + 90
    while True:
        try:
            with database.transaction() as db:
                db.execute(ADD, ("c", "3"))
            break
        except DatabaseUnavailable:
            assert time.monotonic() < deadline
    assert names(database) == {"a", "c"}
    database.close()


def test_a_postgresql_that_became_a_standby_is_not_there_for_writes(postgres: Postgres) -> None:
    address = postgres.new_database()
    database = open_database(address)
    with database.transaction() as db:
        name = db.execute("SELECT current_database() AS name")[0]["name"]
        db.execute("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable, match="read-only"), database.transaction() as db:
        db.execute(ADD, ("a", "1"))
    with database.transaction() as db:
        db.execute("SET default_transaction_read_only = off")
    with database.transaction() as db:
        db.execute(ADD, (name, "1"))
    database.close()


def test_a_full_disk_loses_nothing_and_when_there_is_room_it_goes_on(tmp_path: Path) -> None:
    database = SqliteDatabase(str(tmp_path / "server.sqlite"))
    migrate(database)

    def allow(pages: int) -> None:  # of the one connection that this thread uses
        with database.reading() as db:
            db.execute(f"PRAGMA max_page_count = {pages}")

    with database.reading() as db:
        used = db.execute("PRAGMA page_count")[0]["page_count"]
    allow(used + 10)
    written = 0

    def write() -> None:
        nonlocal written
        while True:
            with database.transaction() as db:
                db.execute(ADD, (f"a{written}", "x" * 2000))
            written += 1

    with pytest.raises(DatabaseUnavailable, match="full") as caught:
        write()
    assert caught.value.remedy == "make room on its disk"
    assert written > 0
    assert len(names(database)) == written
    allow(used + 1000)
    with database.transaction() as db:
        db.execute(ADD, ("b", "x" * 20_000))
    assert len(names(database)) == written + 1
    database.close()
