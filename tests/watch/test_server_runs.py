"""`pipe watch --server`: a server is asked for each run once, also by several watching processes, and while it is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.errors import NoSuchRun, UsageError
from swath.protocol.client import Client, ClientLimits
from swath.triggers.load import read_triggers
from swath.watch.server_runs import ServerRuns
from swath.watch.store import TriggerStore
from swath.watch.watcher import Watcher
from tests.agent.conftest import TestServer

NO_PATIENCE = ClientLimits(tries=1, connect_s=2)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    (tmp_path / "data").mkdir()
    found = TestServer(tmp_path / "data")
    found.services.projects.put("lakes", {"folder": str(tmp_path)}, who="test")
    yield found
    found.stop()


def asked_by(server: TestServer) -> ServerRuns:
    url = f"http://127.0.0.1:{server.port}"
    return ServerRuns(Client(url, server.client_token, NO_PATIENCE), "lakes")


def watcher(folder: Path, server: TestServer, number: int, clock: list[float]) -> Watcher:
    store = TriggerStore.open(folder / f"state{number}")
    return Watcher(lambda: read_triggers(folder), store, asked_by(server), 9, clock=lambda: clock[0])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "lake.yaml").write_text("pipeline: predict\nname: lake\n")
    (tmp_path / "swath.yaml").write_text(
        "triggers:\n  a: {every: 1h, spec: lake.yaml, set: {output.to: 'out/${trigger:due}'}}\n"
    )
    return tmp_path


def runs(server: TestServer) -> list[Any]:
    return list(Client(f"http://127.0.0.1:{server.port}", server.client_token).runs(project="lakes").runs)


def test_two_watching_processes_ask_for_one_run(server: TestServer, project: Path) -> None:
    clock = [1_800_000_000.0]
    both = [watcher(project, server, number, clock) for number in range(2)]
    for each in both:
        each.turn()
    clock[0] += 3601
    for each in (*both, *both):
        each.turn()
    (run,) = runs(server)
    assert [each.store.open_firings()[0].run for each in both] == [run.id, run.id]
    for each in both:
        each.store.__exit__(None, None, None)


def test_a_run_is_asked_for_once_the_server_is_back(server: TestServer, project: Path) -> None:
    clock = [1_800_000_000.0]
    watching = watcher(project, server, 0, clock)
    watching.turn()
    server.stop()
    clock[0] += 3601
    watching.turn()
    watching.turn()
    assert watching.store.open_firings()[0].state == "started"
    server.start()
    watching.turn()
    watching.turn()
    (run,) = runs(server)
    assert watching.store.open_firings()[0].run == run.id
    watching.store.__exit__(None, None, None)


def test_a_spec_that_the_server_refuses_ends_the_firing(server: TestServer, project: Path) -> None:
    clock = [1_800_000_000.0]
    (project / "lake.yaml").write_text("no pipeline: here\n")
    watching = watcher(project, server, 0, clock)
    watching.turn()
    clock[0] += 3601
    watching.turn()
    (firing,) = watching.store.firings("a")
    assert firing.status == "refused"
    watching.store.__exit__(None, None, None)


def test_a_run_that_was_not_asked_for_is_none(server: TestServer) -> None:
    asked = asked_by(server)
    with pytest.raises(NoSuchRun):
        asked.end_of(asked.new_id("a", "key"))
    assert asked.new_id("a", "key") == asked.new_id("a", "key") != asked.new_id("b", "key")
    with pytest.raises(UsageError):
        asked.start(asked.new_id("a", "key"), "nowhere.yaml", [], None)
