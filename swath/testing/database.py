"""The conformance suite of the server's databases: what its queue relies on, so that no run is lost and none is claimed twice.

Subclass DatabaseTests in a test module and give it the fixture `opened`:

    class TestMyDatabase(DatabaseTests):
        @pytest.fixture
        def opened(self):
            return lambda: MyDatabase("address of an empty database")  # the same database each time
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from swath.protocol.messages import AgentRegistration, RunRequest
from swath.server.accounts import Accounts
from swath.server.agents import Agents
from swath.server.database.database import Database
from swath.server.database.schema import migrate, server_id
from swath.server.projects import Projects
from swath.server.queue import Queue
from swath.server.refusals import Refusal
from swath.server.runs import containing

Opened = Callable[[], Database]
ADD = "INSERT INTO suite (name, number) VALUES (?, ?)"


class DatabaseTests:
    """The suite."""

    deadline_s: ClassVar[float] = 60.0
    """What threads do together must end within so long."""

    @pytest.fixture
    def opened(self) -> Opened:
        """A function that opens the database, which is empty at first."""
        raise NotImplementedError("give your test class a fixture `opened`")

    @pytest.fixture
    def database(self, opened: Opened) -> Iterator[Database]:
        """The database with a table `suite`."""
        database = opened()
        with database.transaction() as db:
            db.execute("CREATE TABLE suite (name TEXT PRIMARY KEY, number BIGINT, real DOUBLE PRECISION)")
        yield database
        database.close()

    # --- transactions

    def test_a_transaction_is_committed_as_a_whole(self, database: Database) -> None:
        with database.transaction() as db:
            db.execute(ADD, ("a", 1))
            db.execute_many(ADD, [("b", 2), ("c", 3)])
            assert _names(database, db) == ["a", "b", "c"]
        assert _names(database) == ["a", "b", "c"]

    def test_a_transaction_that_raises_leaves_nothing(self, database: Database) -> None:
        with contextlib.suppress(ZeroDivisionError), database.transaction() as db:
            db.execute(ADD, ("a", 1))
            raise ZeroDivisionError
        assert _names(database) == []
        with database.transaction() as db:
            db.execute(ADD, ("b", 1))
        assert _names(database) == ["b"]

    def test_a_statement_that_fails_raises_and_leaves_the_database_usable(self, database: Database) -> None:
        with database.transaction() as db:
            db.execute(ADD, ("a", 1))
        failed = True
        with contextlib.suppress(Exception), database.transaction() as db:
            db.execute(ADD, ("b", 2))
            db.execute(ADD, ("a", 2))
            failed = False
        assert failed, "a key that is there already must be an error"
        assert _names(database) == ["a"]

    def test_what_is_not_committed_is_seen_by_nobody_else(self, database: Database) -> None:
        with database.transaction() as db, ThreadPoolExecutor(1) as other:
            db.execute(ADD, ("a", 1))
            assert other.submit(_names, database).result(self.deadline_s) == []
        assert _names(database) == ["a"]

    def test_what_is_committed_is_there_when_it_is_opened_again(self, opened: Opened) -> None:
        first = opened()
        migrate(first)
        identity = server_id(first)
        first.close()
        again = opened()
        migrate(again)
        assert server_id(again) == identity
        again.close()

    # --- statements

    def test_rows_are_mappings_with_the_values_that_were_written(self, database: Database) -> None:
        values = [
            ("text \u00e4 \U0001f6f0 ' \\ % %s", 2**62 + 1, 0.1),
            ("", -(2**62) - 1, -math.pi * 1e200),
            ("null", None, None),
        ]
        with database.transaction() as db:
            db.execute_many("INSERT INTO suite (name, number, real) VALUES (?, ?, ?)", values)
        with database.reading() as db:
            rows = db.execute("SELECT name, number, real FROM suite")
        assert sorted((row["name"], row["number"], row["real"]) for row in rows if row["number"]) == sorted(values[:2])
        assert [dict(row) for row in rows if row["name"] == "null"] == [{"name": "null", "number": None, "real": None}]

    def test_returning_gives_the_changed_rows_and_conflicts_are_passed_over(self, database: Database) -> None:
        with database.transaction() as db:
            added = [db.execute(f"{ADD} ON CONFLICT (name) DO NOTHING RETURNING name", ("a", n)) for n in (1, 2)]
            assert [len(rows) for rows in added] == [1, 0]
            changed = db.execute("UPDATE suite SET number = number + 1 WHERE name = ? RETURNING number", ("a",))
            assert [row["number"] for row in changed] == [2]
            assert list(db.execute("DELETE FROM suite WHERE name = ?", ("none",))) == []

    def test_a_text_contains_another_in_any_case_of_its_letters(self, database: Database) -> None:
        with database.transaction() as db:
            db.execute_many(ADD, [("Region 7 DONE", 1), ("50 % done_", 2), ("nothing", 3)])
        for part, numbers in (("done", [1, 2]), ("REGION", [1]), ("%", [2]), ("_", [2]), ("!", [])):
            with database.reading() as db:
                rows = db.execute(f"SELECT number FROM suite WHERE name {database.contains}", (containing(part),))
            assert sorted(row["number"] for row in rows) == numbers, part

    def test_a_null_character_is_stored_or_refused(self, database: Database) -> None:
        kept = []
        with contextlib.suppress(Refusal), database.transaction() as db:
            db.execute(ADD, ("a\0b", 1))
            kept = ["a\0b"]
        assert _names(database) == kept

    # --- threads

    def test_no_change_of_several_threads_is_lost(self, database: Database) -> None:
        with database.transaction() as db:
            db.execute(ADD, ("count", 0))

        def add(_: int) -> None:
            with database.transaction() as db:
                number = db.execute(f"SELECT number FROM suite WHERE name = ? {database.for_update}", ("count",))[0][
                    "number"
                ]
                db.execute("UPDATE suite SET number = ? WHERE name = ?", (number + 1, "count"))

        _together(add, 8, 5, self.deadline_s)
        with database.reading() as db:
            assert db.execute("SELECT number FROM suite")[0]["number"] == 40

    def test_a_row_that_one_transaction_takes_is_passed_over_by_others(self, database: Database) -> None:
        with database.transaction() as db:
            db.execute_many(ADD, [(f"row {n}", n) for n in range(40)])
        taken: list[str] = []

        def take(_: int) -> None:
            with database.transaction() as db:
                rows = db.execute(
                    "DELETE FROM suite WHERE name = (SELECT name FROM suite ORDER BY number LIMIT 1"
                    f" {database.skip_locked}) RETURNING name"
                )
                taken.extend(row["name"] for row in rows)

        _together(take, 8, 5, self.deadline_s)
        assert len(taken) == len(set(taken))
        assert set(taken) | set(_names(database)) == {f"row {n}" for n in range(40)}
        assert len(taken) + len(_names(database)) == 40

    def test_tables_are_made_once_by_several_that_start_at_once(self, database: Database) -> None:
        _together(lambda _: migrate(database), 4, 1, self.deadline_s)
        assert server_id(database)

    # --- the queue

    def test_each_run_is_claimed_by_one_of_several_agents(self, opened: Opened) -> None:
        database = opened()
        migrate(database)
        Projects(database).put("lakes", {"folder": "/lakes"}, who="suite")
        queue, agents = Queue(database), []
        for number in range(4):
            token = Accounts(database).create("agent", f"agent{number}", "runner", who="suite")
            about = AgentRegistration(name=f"agent{number}", session=f"session {number}", slots=100, version="0")
            agents.append(Agents(database).register(about, Accounts(database).identify(token)))
        asked = {f"run-{n}" for n in range(20)}
        for run in asked:
            queue.submit(RunRequest(project="lakes", spec="pipeline: x"), run, run, "x", "suite")
        claimed: list[str] = []

        def claim(worker: int) -> None:
            for number in range(20):
                work = queue.claim(agents[worker], f"claim {worker} {number} of the suite")
                if work is not None:
                    claimed.append(work.run)

        _together(claim, 4, 1, self.deadline_s)
        database.close()
        assert sorted(claimed) == sorted(asked)


def _names(database: Database, db: object = None) -> list[str]:
    sql = "SELECT name FROM suite ORDER BY name"
    if db is not None:
        return [row["name"] for row in db.execute(sql)]  # type: ignore[attr-defined]
    with database.reading() as reading:
        return [row["name"] for row in reading.execute(sql)]


def _together(work: Callable[[int], None], threads: int, times: int, deadline_s: float) -> None:
    """Call work(number of the thread) so many times in each of several threads that begin at once."""
    begin = threading.Barrier(threads)

    def repeat(number: int) -> None:
        begin.wait(deadline_s)
        for _ in range(times):
            work(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(repeat, number) for number in range(threads)]:
            done.result(deadline_s)
