"""The conformance suite of clusters: what a run relies on, from the start of a cluster until nothing is left of it.

Subclass ClusterTests in a test module and give it two fixtures:

    @pytest.fixture(scope="module")
    def running(tmp_path_factory):
        with MyCluster() as cluster:
            yield cluster

    class TestMyCluster(ClusterTests):
        workers = 2

        @pytest.fixture
        def cluster(self, running):  # up, and may be shared by tests
            return running

        @pytest.fixture
        def open_cluster(self):  # a new one, not started, for the tests that start and close it
            return lambda context: MyCluster()

A cluster that creates machines sets `creates_machines` and has a fixture `fleet`: the suite then also tests that they are leased
before they are created, labelled, and gone at the end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from swath.cluster.contract import RunContext, RunningCluster
from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import Machine
from swath.cluster.teardown.lease import open_leases
from swath.engine.call import CallBatch, OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError, Interrupted, SwathError
from swath.graph.task import Task
from swath.testing import tasks
from swath.testing.executor import Harness

OpenCluster = Callable[[RunContext], RunningCluster]
RUN = "20260301-120000-suite-1a2b"


@dataclass
class SuiteRun:
    """A run for one cluster, which notes what exists when a lease is written or ended."""

    context: RunContext
    existing: Callable[[], list[str]]
    messages: list[tuple[str, str]] = field(default_factory=list)
    leases: list[tuple[str, list[str]]] = field(default_factory=list)
    """(`written` or `ended`, names of machines that existed then)."""

    def open_leases(self) -> list[str]:
        """Ids of all leases in the journal."""
        return [lease.id for lease in self.context.journal.leases()]


@contextlib.contextmanager
def suite_run(state: Path, existing: Callable[[], list[str]]) -> Iterator[SuiteRun]:
    """A run with a journal in a state folder. `existing` returns the names of all that its clusters have created."""
    with _SuiteJournal.open(state) as journal:
        assert isinstance(journal, _SuiteJournal)
        run = SuiteRun(
            RunContext(RUN, journal, Stop(), lambda level, text: run.messages.append((level, text))), existing
        )
        journal.on_lease = lambda what: run.leases.append((what, existing()))
        yield run


class ClusterTests:
    """The suite."""

    has_workers: ClassVar[bool] = True
    """Whether calls run in other processes than this one. Then a call whose resources no worker has is an error."""
    workers: ClassVar[int] = 1
    """Worker processes that the clusters of the fixtures start with."""
    checks_store: ClassVar[bool] = True
    """Whether workers may run on other machines, so that they may not reach the result store."""
    creates_machines: ClassVar[bool] = False
    """Whether something is created that costs money, so that there are leases and a fleet."""
    deadline_s: ClassVar[float] = 60.0
    """A result that has not come after so long will not come."""

    @pytest.fixture
    def cluster(self) -> RunningCluster:
        """A cluster that is up. Several tests may share it."""
        raise NotImplementedError("give your test class a fixture `cluster`")

    @pytest.fixture
    def open_cluster(self) -> OpenCluster:
        """A function that returns a new cluster for a run, not started."""
        raise NotImplementedError("give your test class a fixture `open_cluster`")

    @pytest.fixture
    def open_failing_cluster(self) -> OpenCluster | None:
        """The same for a cluster whose start fails after something was started; None when that cannot be simulated."""
        return None

    @pytest.fixture
    def fleet(self) -> Fleet | None:
        """Where the machines of clusters are listed; None for clusters that create none."""
        return None

    @pytest.fixture
    def existing(self, fleet: Fleet | None) -> Callable[[], list[str]]:
        """A function that returns the names of all that clusters of `open_cluster` have left: machines, processes, files."""
        return lambda: [machine.name for machine in fleet.machines()] if fleet is not None else []

    @pytest.fixture
    def results(self, tmp_path: Path) -> str:
        """Folder or URL of the result store, which workers reach."""
        return str(tmp_path / "results")

    @pytest.fixture
    def suite_run(self, tmp_path: Path, existing: Callable[[], list[str]]) -> Iterator[SuiteRun]:
        """A run with a journal of its own."""
        with suite_run(tmp_path / "state", existing) as run:
            yield run

    @pytest.fixture
    def harness(self, cluster: RunningCluster, results: str) -> Iterator[Harness]:
        """An executor on the running cluster."""
        with self._harness(cluster, results) as harness:
            yield harness

    @contextlib.contextmanager
    def _harness(self, cluster: RunningCluster, results: str) -> Iterator[Harness]:
        def open_executor(on_output: OutputListener) -> Executor:
            return cluster.executor(on_output, Stop())

        harness = Harness(open_executor, ResultStore(results), self.deadline_s)
        try:
            yield harness
        finally:
            harness.executor.close()

    # --- a cluster that is up

    def test_it_has_a_kind_its_workers_and_an_address(self, cluster: RunningCluster) -> None:
        assert cluster.kind
        assert cluster.workers == self.workers
        assert not cluster.address or "://" in cluster.address
        assert cluster.address or not self.has_workers

    def test_it_runs_calls_and_reports_their_output(self, harness: Harness) -> None:
        outcomes = harness.outcomes(harness.calls(tasks.square, range(20)))
        assert [harness.value(outcome) for outcome in outcomes] == [x * x for x in range(20)]
        assert harness.executor.slots >= self.workers
        harness.outcomes([harness.call(tasks.talk, 7)])
        assert "printed 7" in [output.text for output in harness.outputs]
        (failed,) = harness.outcomes([harness.call(tasks.fail, 1)])
        assert failed.error == "OSError: number 1 is wrong"

    def test_executors_follow_one_another(self, cluster: RunningCluster, results: str) -> None:
        for _ in range(2):
            with self._harness(cluster, results) as harness:
                (outcome,) = harness.outcomes([harness.call(tasks.square, 3)])
                assert harness.value(outcome) == 9

    def test_resources_that_no_worker_has_are_an_error_and_not_a_wait(self, harness: Harness) -> None:
        if not self.has_workers:
            pytest.skip("calls in this process have all of its resources")
        usual = tasks.square.options(resources={"cpu": 1})
        (outcome,) = harness.outcomes([harness.call(usual, 3)])
        assert harness.value(outcome) == 9
        unknown = tasks.square.options(resources={"swath-suite": 1})
        with pytest.raises(InfrastructureError, match=r"asks for swath-suite 1, but workers offer .*cpu 1") as caught:
            harness.executor.submit(_batch(harness, unknown))
        assert caught.value.exit_code == 5
        assert caught.value.remedy
        (outcome,) = harness.outcomes([harness.call(tasks.square, 4)])
        assert harness.value(outcome) == 16

    def test_a_store_that_workers_reach_is_accepted_and_another_one_is_refused(
        self, cluster: RunningCluster, results: str
    ) -> None:
        cluster.check_store(ResultStore(results))
        if self.checks_store:
            with pytest.raises(InfrastructureError, match="cannot read the results folder"):
                cluster.check_store(_UnsharedStore(results))

    # --- starting and closing

    def test_it_starts_works_closes_twice_and_leaves_nothing(
        self, open_cluster: OpenCluster, suite_run: SuiteRun, fleet: Fleet | None, results: str
    ) -> None:
        cluster = open_cluster(suite_run.context)
        assert suite_run.open_leases() == [], "nothing is leased before the start"
        assert cluster.__enter__() is cluster
        try:
            assert cluster.workers == self.workers
            with self._harness(cluster, results) as harness:
                (outcome,) = harness.outcomes([harness.call(tasks.square, 5)])
                assert harness.value(outcome) == 25
            if self.creates_machines:
                assert fleet is not None
                self._check_machines(suite_run, fleet.machines())
            else:
                assert suite_run.open_leases() == []
        finally:
            cluster.__exit__(None, None, None)
        self._check_nothing_left(suite_run)
        cluster.__exit__(None, None, None)

    def test_closing_what_was_never_started_does_nothing(self, open_cluster: OpenCluster, suite_run: SuiteRun) -> None:
        open_cluster(suite_run.context).__exit__(None, None, None)
        assert suite_run.leases == []

    def test_a_start_that_fails_leaves_nothing_and_can_be_closed(
        self, open_failing_cluster: OpenCluster | None, suite_run: SuiteRun
    ) -> None:
        if open_failing_cluster is None:
            pytest.skip("no fixture `open_failing_cluster`")
        cluster = open_failing_cluster(suite_run.context)
        with pytest.raises(SwathError):
            cluster.__enter__()
        self._check_nothing_left(suite_run)
        cluster.__exit__(None, None, None)

    def test_a_run_that_is_asked_to_stop_waits_for_no_machine(
        self, open_cluster: OpenCluster, suite_run: SuiteRun
    ) -> None:
        if not self.creates_machines:
            pytest.skip("it starts in a moment")
        suite_run.context.stop.request(Interrupted("interrupted"))
        with pytest.raises(Interrupted):
            open_cluster(suite_run.context).__enter__()
        self._check_nothing_left(suite_run)

    # --- leases and machines

    def _check_machines(self, run: SuiteRun, machines: list[Machine]) -> None:
        """Each machine was leased before it was created, and says to which run it belongs and when it expires."""
        (lease,) = open_leases(run.context.journal, RUN)
        assert run.leases == [("written", [])], "the lease was not written before the first machine was created"
        assert machines
        now = time.time()
        for machine in machines:
            assert machine.run == lease.label
            assert machine.role in ("scheduler", "worker", "cluster")
            assert now < machine.expires < now + 8 * 24 * 3600
            assert machine.id
            assert machine.name
        assert {machine.role for machine in machines} >= {"scheduler", "worker"}

    def _check_nothing_left(self, run: SuiteRun) -> None:
        assert run.existing() == []
        assert run.open_leases() == []
        if self.creates_machines:
            assert run.leases[0] == ("written", [])
            assert run.leases[-1] == ("ended", []), "the lease was ended while there were machines"


class _SuiteJournal(Journal):
    """Calls `on_lease` before a lease is written or ended."""

    on_lease: Callable[[str], None]

    def write_lease(self, run: str, kind: str, name: str) -> None:
        self.on_lease("written")
        super().write_lease(run, kind, name)

    def end_lease(self, name: str) -> None:
        self.on_lease("ended")
        super().end_lease(name)


class _UnsharedStore(ResultStore):
    """On workers it has another folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return ResultStore, (f"{self.root}-of-another-machine",)


def _batch(harness: Harness, task: Task) -> CallBatch:
    return CallBatch(10**6, (harness.call(task, 1),), 60.0)
