"""Several servers on one PostgreSQL database, whose connections are cut again and again: each run is claimed once."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from swath.server.database.database import DatabaseUnavailable
from swath.server.database.open import open_database
from swath.server.queue import Queue
from tests.server.conftest import Postgres
from tests.server.test_queue import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def test_each_run_is_claimed_once_while_connections_are_cut(postgres: Postgres) -> None:
    address = postgres.new_database()
    databases = [open_database(address) for _ in range(3)]
    bench = Bench(databases[0])
    bench.project("lakes")
    agents = [bench.agent(f"agent{number}") for number in range(6)]
    runs = {bench.submit() for _ in range(60)}
    stop = threading.Event()

    def cut() -> None:
        with contextlib.closing(open_database(address)) as database:
            for _ in range(20):  # not for ever: on a slow machine nothing would ever end
                if stop.wait(0.2):
                    return
                with contextlib.suppress(DatabaseUnavailable), database.transaction() as db:
                    db.execute(CUT)

    def work(number: int) -> list[str]:
        """Claims as an agent does: the same word until there is an answer."""
        queue, found, misses = Queue(databases[number % 3]), [], 0
        while misses < 3:
            word = f"agent{number} claim {len(found):04} {misses}"
            while True:
                try:
                    claimed = queue.claim(agents[number], word)
                    break
                except DatabaseUnavailable:
                    continue
            misses = misses + 1 if claimed is None else 0
            if claimed is not None:
                found.append(claimed.run)
        return found

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            claimed = [run for part in pool.map(work, range(6)) for run in part]
    finally:
        stop.set()
        cutter.join()
    assert sorted(claimed) == sorted(runs)
    with databases[1].reading() as db:
        assert db.execute("SELECT count(*) AS n FROM attempts")[0]["n"] == len(runs)
    for database in databases:
        database.close()
