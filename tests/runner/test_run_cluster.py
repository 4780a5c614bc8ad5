"""The cluster of a run: what goes wrong at its end is noted, and why it did not come up is what is raised."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from swath.cluster.contract import RunContext
from swath.cluster.local.inline import Inline
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError, TeardownError
from swath.events import ClusterReady, Event
from swath.runner import run_cluster
from swath.runner.job import Job
from swath.runner.load import load
from swath.runner.run_cluster import RunCluster
from swath.runner.runner import run
from swath.spec.clusters.cluster import AutoCluster, Cluster, InlineCluster, LocalCluster
from swath.spec.clusters.workers import Workers
from tests.runner.test_runner import PIPELINE


class Left(Inline):
    """A cluster whose end cannot be confirmed."""

    def __exit__(self, *_: object) -> None:
        raise TeardownError("1 machine may be left", remedy="pipe sweep")


class Broken(Inline):
    """One that does not come up, and whose end cannot be confirmed either."""

    def __enter__(self) -> Self:
        try:
            raise InfrastructureError("no capacity")
        except InfrastructureError:
            raise TeardownError("1 machine may be left", remedy="pipe sweep")  # noqa: B904 - as teardown in a finally does


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/job.py").write_text(PIPELINE)
    spec = tmp_path / "spec.yaml"
    spec.write_text("pipeline: say\nwords: [a]\ncluster: inline\n")
    return load(spec)


def opened(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_cluster, "open_cluster", lambda *_: kind())


def test_it_says_that_it_is_up_and_how_many_workers_it_has(job: Job, tmp_path: Path) -> None:
    events: list[Event] = []
    with Journal.open(tmp_path / "state") as journal, ExitStack() as exits:
        context = RunContext("r", journal, Stop(), lambda level, text: None)
        cluster = RunCluster(job, context, ResultStore(str(tmp_path)), events.append)
        assert cluster.workers == 0
        cluster.open(exits, lambda output: None)
    assert (cluster.workers, cluster.leftovers) == (1, "")
    assert [(event.cluster, event.workers) for event in events if isinstance(event, ClusterReady)] == [("inline", 1)]


def test_what_may_be_left_is_exit_code_7_of_a_run_that_keeps_its_outputs(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(Left, monkeypatch)
    outcome = run(job)
    assert (outcome.status, outcome.exit_code, outcome.outputs) == ("done", 7, ["A"])
    assert outcome.error == "1 machine may be left\n  pipe sweep"


def test_why_it_did_not_come_up_is_named_with_what_may_be_left(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(Broken, monkeypatch)
    outcome = run(job)
    assert (outcome.status, outcome.exit_code) == ("failed", 7)
    assert outcome.error == "no capacity\n1 machine may be left\n  pipe sweep"


def auto(job: Job, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, list[Cluster]]:
    """The job with two workers of `cluster: auto`, and the clusters that are opened for it: none has processes."""
    specs: list[Cluster] = []

    def open_here(spec: Cluster, *_: object) -> Inline:
        specs.append(spec)
        return Inline()

    monkeypatch.setattr(run_cluster, "open_cluster", open_here)
    spec = job.spec.model_copy(update={"cluster": AutoCluster(workers=Workers(min=2, max=2))})
    return replace(job, loaded=replace(job.loaded, spec=spec)), specs


def test_auto_begins_in_this_process_and_brings_up_local_workers_for_much_work(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, specs = auto(job, monkeypatch)
    events: list[Event] = []
    with Journal.open(tmp_path / "state") as journal, ExitStack() as exits:
        context = RunContext("r", journal, Stop(), lambda level, text: None)
        cluster = RunCluster(job, context, ResultStore(str(tmp_path)), events.append)
        executor = cluster.open(exits, lambda output: None)
        executor.wait(0.0)
        executor.backlog(100, 1.0)
        assert specs == [InlineCluster()]
        executor.backlog(100, 1e9)
        local = LocalCluster(workers=Workers(min=2, max=2))
        assert specs == [InlineCluster(), local]
        assert isinstance(cluster.open(exits, lambda output: None), InlineExecutor)  # of the cluster that is up
        assert specs == [InlineCluster(), local]
    assert len([event for event in events if isinstance(event, ClusterReady)]) == 2


def test_a_run_that_is_resumed_has_workers_from_the_start(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, specs = auto(job, monkeypatch)
    with Journal.open(tmp_path / "state") as journal, ExitStack() as exits:
        run(replace(job, project=replace(job.project, state=tmp_path / "state")))
        specs.clear()
        context = RunContext("r", journal, Stop(), lambda level, text: None)
        again = replace(job, earlier=journal.runs()[0])
        RunCluster(again, context, ResultStore(str(tmp_path)), lambda event: None).open(exits, lambda output: None)
    assert specs == [job.spec.cluster]
