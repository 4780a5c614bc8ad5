"""What is removed, what stays, and that nothing of a removed run is left in any table."""

from __future__ import annotations

import re

import pytest

from swath.protocol.live import Live
from swath.protocol.messages import End, RunRequest
from swath.server.audit import record
from swath.server.database.database import Database
from swath.server.database.schema import STEPS
from swath.server.live import LiveDocuments
from swath.server.refusals import NotFound
from swath.server.retention import DAY_S, RUN_TABLES, Keep, Retention
from swath.server.services import Services
from tests.server.test_queue import Bench, line


@pytest.fixture
def bench(database: Database) -> Bench:
    bench = Bench(database)
    bench.project("lakes")
    return bench


def ended(bench: Bench, agent: str, status: str, lines: int) -> str:
    run = bench.submit(key=f"key {bench.runs}")
    bench.claim(agent)
    bench.queue.beat(run, 1)
    bench.queue.add_lines(run, 1, [line(number) for number in range(1, lines + 1)])
    LiveDocuments(bench.database).put(run, 1, Live(nodes=()))
    bench.queue.end(run, 1, End(status=status, exit_code=0 if status == "done" else 1))
    return run


def counts(bench: Bench) -> dict[str, int]:
    with bench.database.reading() as db:
        return {
            name: db.execute(f"SELECT count(*) AS n FROM {name}")[0]["n"] for name in ("runs", *RUN_TABLES, "audit")
        }


def swept(bench: Bench, keep: Keep) -> list[int]:
    retention = Retention(bench.database, keep, clock=lambda: bench.now)
    return list(iter(retention.remove_slice, 0))


def test_what_is_old_goes_in_slices_and_the_rest_stays(bench: Bench) -> None:
    agent = bench.agent("desk")
    ended(bench, agent, "done", 7)
    failed = ended(bench, agent, "failed", 7)
    with bench.database.transaction() as db:
        record(db, bench.now, "ada", "put project", "lakes", {})
    waiting, going = bench.submit(priority=-1), bench.submit()
    bench.claim(agent)
    bench.queue.beat(going, 1)
    bench.queue.add_lines(going, 1, [line(1)])
    keep = Keep(rows=3)
    assert swept(bench, keep) == []
    bench.now += 31 * DAY_S
    assert swept(bench, keep) == [3, 3, 1, 3, 3, 1]
    assert counts(bench) == {"runs": 4, "lines": 1, "live": 2, "attempts": 3, "audit": 1}
    bench.now += 60 * DAY_S
    assert swept(bench, keep) == [1]
    assert counts(bench) == {"runs": 3, "lines": 1, "live": 1, "attempts": 2, "audit": 1}
    bench.queue.resume(failed, "ada")  # it is needed again
    bench.now += 401 * DAY_S
    assert sum(swept(bench, keep)) == 2  # both records of changes
    assert bench.state(waiting)[0] == "queued"
    assert bench.state(going)[0] == "running"
    assert bench.state(failed)[0] == "queued"
    with bench.database.reading() as db:
        for table in RUN_TABLES:
            assert db.execute(f"SELECT run FROM {table} WHERE run NOT IN (SELECT id FROM runs)") == []


def test_the_key_of_a_run_that_was_removed_asks_for_a_new_one(bench: Bench) -> None:
    run = ended(bench, bench.agent("desk"), "done", 1)
    bench.now += 91 * DAY_S
    assert sum(swept(bench, Keep())) == 2
    assert bench.submit(key="key 0") != run
    with pytest.raises(NotFound):
        bench.queue.resume(run, "ada")


def test_every_table_with_rows_of_runs_is_emptied() -> None:
    tables = re.findall(r"CREATE TABLE (\w+) \((.*?)\n    \)", "\n".join(STEPS), re.DOTALL)
    assert {name for name, columns in tables if re.search(r"\brun TEXT\b", columns)} == set(RUN_TABLES)
    assert len(tables) > 5


def test_old_firings_and_inquiries_go_but_for_what_is_needed_again(database: Database) -> None:
    now = 1_800_000_000.0
    services = Services.of(database, clock=lambda: now)
    services.projects.put("lakes", {"folder": "/lakes"}, who="test")
    for name in ("nightly", "scenes", "new"):
        services.triggers.definitions.put("lakes", name, {"every": "1d"}, "pipeline: predict\n", who="test")
    services.inquiries.ask("plan", RunRequest(project="lakes", spec="-"), "ada")
    with database.transaction() as db:
        db.execute("UPDATE triggers SET kind = 'sensor' WHERE name = 'scenes'")
        db.execute("UPDATE triggers SET firings = 104")
        for row in db.execute("SELECT id, name FROM triggers"):
            made = now if row["name"] == "new" else now - 366 * DAY_S
            for number in range(1, 105):
                status = "done" if number == 2 else "failed"
                values = (row["id"], f"key {number}", number, made, made, made, "{}", 0, "ended", status)
                db.execute(
                    "INSERT INTO firings (trigger_id, key, number, due, not_before, made, found, depth, state, status)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
    retention = Retention(database, Keep(rows=2), clock=lambda: now + 2 * 3600)
    assert list(iter(retention.remove_slice, 0)) == [2, 1]
    with database.reading() as db:
        left = db.execute(
            "SELECT name, min(number) AS first, count(*) AS n FROM firings JOIN triggers ON triggers.id = trigger_id GROUP BY name"
        )
        assert {row["name"]: (row["first"], row["n"]) for row in left} == {
            "nightly": (2, 101), "scenes": (1, 104), "new": (1, 104),
        }  # fmt: skip
    now += 2 * DAY_S
    assert list(iter(retention.remove_slice, 0)) == [1]
    with database.reading() as db:
        assert db.execute("SELECT id FROM inquiries") == []
