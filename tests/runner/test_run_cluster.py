"""The cluster of a run: what goes wrong at its end is noted, and why it did not come up is what is raised."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest

from swath.cluster.contract import RunContext
from swath.cluster.local.inline import Inline
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
