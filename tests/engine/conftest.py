"""One engine for all tests, on every executor that there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.contract import RunningCluster
from swath.cluster.open import open_cluster
from swath.engine.engine import Engine
from swath.engine.engine_result import EngineResult
from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.engine.process import Process
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.events import Event
from swath.graph.graph import Graph
from swath.spec.clusters.cluster import InlineCluster, LocalCluster


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """A local cluster of two workers."""
    with open_cluster(LocalCluster(workers=2), tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session", params=["inline", "local"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunningCluster:
    """A cluster of each kind, up for the whole session."""
    if request.param == "local":
        running: RunningCluster = request.getfixturevalue("local")
        return running
    return open_cluster(InlineCluster(), tmp_path_factory.mktemp("cluster"))


class Bench:
    """Runs graphs and keeps what happened."""

    def __init__(self, home: Path, cluster: RunningCluster) -> None:
        self.home = home
        self.cluster = cluster
        self.events: list[Event] = []
        self.run = ""

    def execute(self, graph: Graph, **options: Any) -> EngineResult:
        self.events = []
        self.run = f"run{time.time_ns()}"
        stop = options.pop("stop", Stop())
        with Journal.open(self.home) as journal:
            journal.start_run(run_row(self.run))
            engine = Engine(
                self.run,
                journal=journal,
                store=ResultStore(str(self.home / "results")),
                emit=self.events.append,
                stop=stop,
                **options,
            )
            return engine.execute(graph, self.cluster.executor(engine.on_output, stop))

    def value(self, graph: Graph, **options: Any) -> Any:
        result = self.execute(graph, **options)
        assert result.value is not None, result
        return ResultStore(str(self.home / "results")).get(result.value)

    def count(self, kind: str) -> int:
        return sum(event.kind == kind for event in self.events)


@pytest.fixture
def bench(tmp_path: Path, cluster: RunningCluster) -> Bench:
    return Bench(tmp_path / "state", cluster)


@pytest.fixture
def inline(tmp_path: Path) -> Bench:
    """For facts that do not depend on where calls run."""
    return Bench(tmp_path / "state", open_cluster(InlineCluster(), tmp_path))


def start_or_resume(journal: Journal, identity: str) -> None:
    """Start a run, or start it again when it is there."""
    if any(row.id == identity for row in journal.runs()):
        journal.execute(
            "UPDATE runs SET status = 'failed' WHERE id = ?", (identity,)
        )  # if it was killed: here by a fork
        journal.resume_run(run_row(identity))
    else:
        journal.start_run(run_row(identity))


def run_row(identity: str, **changes: Any) -> RunRow:
    me = Process.this()
    fields: dict[str, Any] = {
        "id": identity, "pipeline": "test", "name": "test", "spec_path": "spec.yaml", "spec_text": "pipeline: test", "overrides": (),
        "cluster": "", "root": "/", "status": "running", "started": time.time(), "finished": None, "exit_code": None, "error": "",
        "host": me.host, "pid": me.pid, "process_started": me.started, "pid_space": me.pid_space, "outputs": (), "git": {},
    }  # fmt: skip
    return RunRow(**{**fields, **changes})


RunRows = Callable[..., RunRow]
