"""A project's own code on workers that do not have the project."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import pytest

import swath
from swath.cluster.workers import setup
from swath.cluster.workers.setup import PREFIX, UNREGISTER_S, WorkerSetup, default_resources, workers_set_up
from swath.code_shipping import ProjectCode
from swath.errors import InfrastructureError
from tests.cluster.conftest import ROOT, ExternalCluster
from tests.cluster.workers.fake_client import FakeClient
from tests.test_code_shipping import FILES, write
from tests.waiting import until

RESULT = ["near", "beside far", "deep back", "lazy", 0, "0"]


def run(root: Path, cluster: str) -> Any:
    spec = root / "spec.yaml"
    spec.write_text(f"pipeline: job\ncluster: {cluster}\n")
    outcome = swath.run(swath.load(spec), fresh=True)
    assert outcome.exit_code == 0, outcome
    return list(outcome.result)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir("/")
    return write(tmp_path / "project", FILES)


def test_a_local_cluster_runs_what_a_pipeline_imports_of_its_project(project: Path) -> None:
    assert run(project, "{kind: local, workers: 1}")[0] == RESULT


@pytest.mark.slow
def test_workers_of_an_external_cluster_run_it_too_and_a_changed_file_at_once(
    project: Path, external_cluster: Callable[..., ExternalCluster]
) -> None:
    there = external_cluster()
    there.worker()
    assert run(project, there.address)[0] == RESULT
    (project / "lib" / "inner" / "lazy.py").write_text("def name(): return 'changed'")
    assert run(project, there.address)[0] == [*RESULT[:3], "changed", *RESULT[4:]]


@pytest.mark.slow
def test_code_of_a_killed_client_does_not_get_in_the_way(
    project: Path, external_cluster: Callable[..., ExternalCluster]
) -> None:
    there = external_cluster()
    there.worker()
    script = f"""
import time
from pathlib import Path
from swath.cluster.open import open_cluster
from swath.project.registry import Registry
from swath.spec.clusters.cluster import AddressCluster
Registry.discover([Path({str(project / "pipelines")!r})])
with open_cluster(AddressCluster(url={there.address!r}), Path("/nowhere")):
    print("up", flush=True)
    time.sleep(60)
"""
    client = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == "up\n"
        client.send_signal(signal.SIGKILL)
        client.wait()
    (project / "far.py").write_text("NAME = 'another'")
    with distributed.Client(
        there.address, set_as_default=False
    ) as client:  # the scheduler has seen the closed connection
        until(lambda: client.run_on_scheduler(_clients) == [client.id])
    assert run(project, there.address)[0][1] == "beside another"


def _clients(dask_scheduler: Any) -> list[str]:
    return sorted(set(dask_scheduler.clients) - {"fire-and-forget"})


class FakeWorker:
    """One thread, 2 GB, and the resources that it was started with."""

    def __init__(self, **resources: float) -> None:
        self.state = SimpleNamespace(nthreads=1, total_resources=resources)
        self.memory_manager = SimpleNamespace(memory_limit=2_000_000_000)

    async def set_resources(self, **resources: float) -> None:
        self.state.total_resources |= resources


class FakeFinder:
    def __init__(self) -> None:
        self.owners: list[str] = []

    def add(self, owner: str, code: ProjectCode) -> None:
        self.owners.append(owner)

    def remove(self, owner: str) -> None:
        self.owners.remove(owner)


def test_a_worker_gets_what_it_lacks_the_code_and_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    finder, kept = FakeFinder(), list[bool]()
    monkeypatch.setattr(setup.ShippedFinder, "here", lambda: finder)
    monkeypatch.setattr(setup.allocator, "keep_pages", lambda: kept.append(True))
    monkeypatch.setenv("SWATH_TEST_VARIABLE", "before")
    plugin = WorkerSetup("run-1", ProjectCode.loaded(), {"SWATH_TEST_VARIABLE": "now"})
    bare, own = FakeWorker(), FakeWorker(cpu=4.0, gpu=1.0)
    asyncio.run(plugin.setup(bare))  # type: ignore[arg-type]
    asyncio.run(plugin.setup(own))  # type: ignore[arg-type]
    assert bare.state.total_resources == {"cpu": 1, "memory": 2_000_000_000}
    assert own.state.total_resources == {"cpu": 4.0, "gpu": 1.0, "memory": 2_000_000_000}
    assert (finder.owners, kept) == (["run-1"] * 2, [True] * 2)
    assert os.environ["SWATH_TEST_VARIABLE"] == "now"
    assert "now" not in repr(plugin)
    plugin.teardown(bare)  # type: ignore[arg-type]
    assert finder.owners == ["run-1"]


def test_a_worker_without_a_limit_has_the_memory_of_its_machine() -> None:
    worker = FakeWorker()
    worker.memory_manager.memory_limit = 0
    assert default_resources(worker)["memory"] == distributed.system.MEMORY_LIMIT  # type: ignore[arg-type]


CODE = ProjectCode.loaded()


def test_plugins_of_clients_that_are_gone_are_taken_away_and_the_own_one_at_the_end() -> None:
    client = FakeClient(**{"scheduler _orphaned_plugins": [f"{PREFIX}gone"]})
    with workers_set_up(client, CODE, {"A": "b"}):  # type: ignore[arg-type]
        assert client.names() == ["scheduler _orphaned_plugins", "unregister", "register"]
        assert client.asked[-1][1]["plugin"].env == {"A": "b"}
    assert [options["name"] for name, options in client.asked if name == "unregister"] == [
        f"{PREFIX}gone", f"{PREFIX}Client-1",
    ]  # fmt: skip
    assert client.limits[-1] == UNREGISTER_S


def test_workers_that_end_with_the_run_are_asked_for_nothing_more() -> None:
    client = FakeClient()
    with workers_set_up(client, CODE, end_with_run=True):  # type: ignore[arg-type]
        pass
    assert client.names() == ["register"]


@pytest.mark.parametrize("error", [OSError("lost"), TimeoutError(), ValueError("no such plugin")])
def test_a_scheduler_that_is_lost_has_no_plugins(error: Exception) -> None:
    client = FakeClient(**{"scheduler _orphaned_plugins": [], "unregister": error})
    with workers_set_up(client, CODE):  # type: ignore[arg-type]
        pass
    assert client.names()[-1] == "unregister"
    closed = FakeClient(**{"scheduler _orphaned_plugins": []})
    with workers_set_up(closed, CODE):  # type: ignore[arg-type]
        closed.status = "closed"
    assert "unregister" not in closed.names()


def test_workers_that_have_another_runs_code_are_an_error() -> None:
    client = FakeClient(**{"scheduler _orphaned_plugins": [], "register": ValueError("far is of another run")})
    with pytest.raises(InfrastructureError, match="far is of another run"), workers_set_up(client, CODE):  # type: ignore[arg-type]
        raise AssertionError("it is not begun")
    assert client.names() == ["scheduler _orphaned_plugins", "register", "unregister"]


def test_a_plugin_is_orphaned_when_its_client_is_gone() -> None:
    scheduler: Any = SimpleNamespace(
        clients=["Client-1"], worker_plugins=[f"{PREFIX}Client-1", f"{PREFIX}Client-2", "another"]
    )
    assert setup._orphaned_plugins(scheduler) == [f"{PREFIX}Client-2"]
