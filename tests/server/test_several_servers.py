"""Several servers on one PostgreSQL database: connections are cut, processes killed again and again; each run is claimed once."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from swath.protocol.client import Client, ClientLimits, ServerUnavailable
from swath.protocol.messages import AgentRegistration, Claim
from swath.server.database.database import DatabaseUnavailable
from swath.server.database.open import open_database
from swath.server.queue import Queue
from swath.version import __version__
from tests.server.conftest import Postgres
from tests.server.test_kills import REQUEST, ServerProcess
from tests.server.test_queue import Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
Answer = TypeVar("Answer")
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


def test_each_run_is_stored_and_claimed_once_while_a_server_process_is_killed_again_and_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    address = postgres.new_database()
    killed, other = (ServerProcess(tmp_path / name, address) for name in ("killed", "other"))
    servers, done = (killed, other), threading.Event()
    for server in servers:
        server.start()
    token = (tmp_path / "killed" / "admin.token").read_text().strip()

    def asked(secret: str, call: Callable[[Client], Answer]) -> Answer:
        """The answer of any server: clients ask again, and a proxy leads them to one that is there."""
        deadline = time.monotonic() + 400
        for server in itertools.cycle(servers):
            try:
                return call(Client(server.url, secret, ClientLimits(tries=1, read_s=60)))
            except ServerUnavailable:
                assert time.monotonic() < deadline
        raise AssertionError

    def kill() -> int:
        for number in range(20):
            if done.wait(0.3):
                return number
            killed.end()
            killed.start()
        return 20

    asked(token, lambda client: client.call("PUT", "/projects/lakes", {"source": {"folder": "/lakes"}}))
    box = str(asked(token, lambda client: client.call("POST", "/tokens", {"name": "box", "kind": "agent"}))["token"])
    about = [
        AgentRegistration(name=f"agent{n}", session=f"session {n}", slots=30, version=__version__) for n in range(3)
    ]
    agents = [asked(box, lambda client, agent=agent: client.register(agent).id) for agent in about]

    def submit(number: int) -> str:
        return asked(token, lambda client: client.submit(REQUEST, f"key {number}").id)

    def claim(number: int) -> list[str]:
        """Claims as an agent does: the same word until there is an answer."""
        found: list[str] = []
        while True:
            word = Claim(session=about[number].session, claim=f"agent {number} claim {len(found):04}")
            work = asked(box, lambda client, word=word: client.claim(agents[number], word))
            if work is None:
                return found
            found.append(work.run)

    try:
        with ThreadPoolExecutor(4) as pool:
            killer = pool.submit(kill)
            try:
                runs = list(pool.map(submit, range(40)))
                claimed = [run for part in pool.map(claim, range(3)) for run in part]
            finally:
                done.set()
            assert killer.result(400) > 0
        assert len(set(runs)) == 40
        assert sorted(claimed) == sorted(runs)
        with contextlib.closing(open_database(address)) as database, database.reading() as db:
            rows = db.execute("SELECT run, number FROM attempts")
        assert sorted((row["run"], row["number"]) for row in rows) == sorted((run, 1) for run in runs)
    finally:
        for server in servers:
            server.end()
