"""The steps of a cluster of machines, with everything else in memory: their order, their limits and what ends them. On a simulated
cloud: worker machines go when no call is left for them, and come back for another."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.utils import LoopRunner

from swath.cluster.cloud import cloud as module
from swath.cluster.cloud.cloud import CloudMachines, _event_loop, provider_of
from swath.cluster.cloud.limits import RepairLimits
from swath.cluster.cloud.machine_pool import CreatedMachine
from swath.cluster.contract import RunContext
from swath.cluster.teardown.lease import CloudLease
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError, Interrupted
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.testing import tasks
from swath.testing.cluster import suite_run
from swath.testing.executor import Harness
from tests.clouds.control import Cloud
from tests.clouds.projects import QUICK
from tests.cluster.specs import gce_spec, gcp_spec
from tests.waiting import until


@pytest.mark.slow
@pytest.mark.allow_hosts("127.0.0.0/8")
def test_worker_machines_go_when_released_and_come_back_for_another_call(
    gce_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)

    def roles() -> list[str]:
        return sorted(each["labels"]["swath-role"] for each in gce_cloud.alive())

    with (
        suite_run(tmp_path / "state", gce_cloud.names) as run,
        CloudMachines(gce_spec(gce_cloud, workers=1), run.context) as cluster,
    ):
        store = ResultStore(str(tmp_path / "results"))
        harness = Harness(lambda on_output: cluster.executor(on_output, Stop()), store, 90.0)
        try:
            (outcome,) = harness.outcomes(harness.calls(tasks.square, [3]))
            assert harness.value(outcome) == 9
            cluster.release_workers()
            assert gce_cloud.until(lambda: roles() == ["scheduler"], 60)
            (outcome,) = harness.outcomes(harness.calls(tasks.square, [4]))
            assert harness.value(outcome) == 16
            assert roles() == ["scheduler", "worker"]
        finally:
            harness.executor.close()
    assert gce_cloud.empty()


# --- with everything else in memory


MACHINE = CreatedMachine("r-1", "n2-standard-4", "worker", False, 0.0, place="europe-west4-a")


class FakeCluster:
    """A cluster that comes up as a test says."""

    def __init__(self, done: list[Any]) -> None:
        self.done = done
        self.machines = SimpleNamespace(created=[MACHINE])
        self.repair = SimpleNamespace(last_error=None)
        self.limits = RepairLimits()
        self.processes_per_machine = 3
        self.client_address = "tls://1.2.3.4:8786"
        self.up: int | None = None
        self.hangs = False
        self.silent = False
        self.scaled: list[int] = []

    async def start_scheduler(self) -> None:
        self.done.append("scheduler")
        if self.hangs:
            await asyncio.sleep(60)

    async def wait_for_machines(self, n: int, quorum: int) -> int:
        self.done.append(("machines", n, quorum))
        return n if self.up is None else self.up

    async def shut_down(self) -> None:
        self.done.append("closed")

    async def diagnosis(self) -> tuple[str, str]:
        if self.silent:
            await asyncio.sleep(60)
        return "its console says no", ""

    def problem(self) -> str:
        return "no room"

    def scale_from_thread(self, n: int) -> None:
        self.scaled.append(n)

    def check(self, requested: Any) -> None:
        self.done.append(("check", requested))


class FakeSession:
    workers = 5

    def __init__(self) -> None:
        self.late = 0
        self.backlog: Callable[..., None] = lambda *backlog: None

    def executor(self, on_output: Any, check: Any, on_backlog: Any) -> Any:
        self.backlog = on_backlog
        return "executor"

    def check_late_joiners(self) -> None:
        self.late += 1

    def check_store(self, store: Any) -> None:
        self.late += 100


class FakeAutoscaler:
    def __init__(self, cluster: Any, workers: Any, limits: Any, scaling: Any, processes_per_worker: Any) -> None:
        self.processes = processes_per_worker()
        self.backlogs: list[Any] = []
        self.stopped = False

    def update(self, *backlog: Any) -> None:
        self.backlogs.append(backlog)

    def stop(self) -> None:
        self.stopped = True


class Steps:
    """Everything that a cluster of machines is made of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journal: Journal) -> None:
        self.done: list[Any] = []
        self.leases: list[CloudLease] = []
        self.said: list[tuple[str, str]] = []
        self.cluster = FakeCluster(self.done)
        self.session = FakeSession()
        self.stop = Stop()
        self.context = RunContext("r", journal, self.stop, lambda level, text: self.said.append((level, text)))
        monkeypatch.setattr(module, "leased", self.leased)
        monkeypatch.setattr(module, "budget_enforced", self.budget)
        monkeypatch.setattr(module, "provider_of", lambda spec: self.done.append("provider"))
        monkeypatch.setattr(module, "VmCluster", lambda *_, **__: self.cluster)
        monkeypatch.setattr(module, "connect", lambda *_: self.step("client"))
        monkeypatch.setattr(module, "session", lambda *_, **options: self.step("session", self.session))
        monkeypatch.setattr(module, "Autoscaler", FakeAutoscaler)
        monkeypatch.setattr(module.tls, "run_security", lambda: None)
        monkeypatch.setattr(module, "POLL_S", 0.01)
        monkeypatch.setattr(module, "DIAGNOSIS_S", 0.2)

    @contextlib.contextmanager
    def step(self, name: str, value: Any = None) -> Iterator[Any]:
        self.done.append(name)
        try:
            yield value
        finally:
            self.done.append(f"end of {name}")

    def leased(self, lease: CloudLease, context: RunContext) -> Any:
        self.leases.append(lease)
        return self.step("leased")

    def budget(self, budget: Any, machines: Callable[[], Any], stop: Any) -> Any:
        assert (machines(), stop) == ([MACHINE], self.stop.request)
        return self.step("budget")

    def open(self, **fields: Any) -> CloudMachines:
        return CloudMachines(gcp_spec(**{"workers": 2, "start_timeout_s": 30, **fields}), self.context)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Steps]:
    with Journal.open(tmp_path) as journal:
        yield Steps(monkeypatch, journal)


def test_nothing_is_launched_before_the_lease_and_the_lease_ends_last(steps: Steps) -> None:
    closed = steps.open()
    assert (closed.address, closed.workers, closed.paid_machines, closed.kind) == ("", 0, [], "gcp")
    with closed as cluster:
        assert steps.done == [
            "leased", "provider", "budget", "scheduler", "client", ("machines", 2, 1), "session",
        ]  # fmt: skip
        assert (cluster.address, cluster.workers) == ("tls://1.2.3.4:8786", 5)
        assert cluster.paid_machines == [MACHINE]
        steps.done.clear()
        autoscaler: Any = cluster.autoscaler
    assert steps.done == ["end of session", "end of client", "end of budget", "closed", "end of leased"]
    assert autoscaler.stopped
    assert autoscaler.processes == 3
    cluster.__exit__(None, None, None)
    assert steps.done[-1] == "end of leased", "closing twice does nothing more"
    assert steps.said == [("info", "machines: worker 1 x n2-standard-4 in europe-west4-a")]


def test_of_a_fixed_number_of_machines_one_is_enough_and_of_an_elastic_one_the_least(steps: Steps) -> None:
    steps.cluster.up = 1
    with steps.open(workers=2):
        assert ("machines", 2, 1) in steps.done
    [text] = [text for level, text in steps.said if level == "warning"]
    assert text.startswith("1 of 2 machines are up")
    assert "(no room)" in text
    steps.cluster.up = None
    with steps.open(workers={"min": 2, "max": 3}):
        assert ("machines", 2, 2) in steps.done
    assert [level for level, _ in steps.said].count("warning") == 1


def test_a_run_that_is_asked_to_stop_waits_for_no_machine(steps: Steps) -> None:
    steps.cluster.hangs = True
    threading.Timer(0.1, steps.stop.request, (Interrupted("Ctrl-C"),)).start()
    with pytest.raises(Interrupted), steps.open():
        raise AssertionError("it is not up")
    assert steps.done[-3:] == ["end of budget", "closed", "end of leased"]


@pytest.mark.parametrize(("silent", "said"), [(False, "its console says no"), (True, "no room")])
def test_a_cluster_that_is_not_up_in_time_is_an_error_with_what_is_known(steps: Steps, silent: bool, said: str) -> None:
    steps.cluster.hangs, steps.cluster.silent = True, silent
    cluster = steps.open()
    cluster._spec = cluster._spec.model_copy(update={"start_timeout_s": 0.05})
    with (
        pytest.raises(InfrastructureError, match=f"the gcp cluster was not up after 0.05 s: {said}") as caught,
        cluster,
    ):
        raise AssertionError("it is not up")
    assert "pipe doctor" in caught.value.remedy
    assert steps.done[-1] == "end of leased"


def test_workers_that_were_released_come_back_for_another_call(steps: Steps) -> None:
    with steps.open() as cluster:
        assert cluster.executor(lambda *_: None, steps.stop) == "executor"
        first: Any = cluster.autoscaler
        cluster.check({"cpu": 1})
        assert (cluster.autoscaler, steps.cluster.scaled) == (first, [])
        cluster.release_workers()
        assert first.stopped
        cluster.check({"cpu": 1})
        second: Any = cluster.autoscaler
        assert second is not first
        assert steps.cluster.scaled == [0, 2]
        cluster.check({"cpu": 1})
        assert cluster.autoscaler is second
        assert steps.session.late == 3
        steps.session.backlog(7, 2.0)
        assert second.backlogs == [(7, 2.0)]
        cluster.check_store(None)  # type: ignore[arg-type]
        assert steps.session.late == 103
    assert second.stopped


def test_a_close_that_fails_or_hangs_keeps_no_machine(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    async def fail() -> None:
        raise RuntimeError("cut")

    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    for close, said in ((fail, "RuntimeError: cut"), (hang, "TimeoutError")):
        monkeypatch.setattr(steps.cluster, "shut_down", close)
        with steps.open():
            pass
        assert said in caplog.text
        assert steps.done[-1] == "end of leased"


def test_an_event_loop_ends_with_its_cluster() -> None:
    before = threading.active_count()
    with _event_loop() as runner:
        assert isinstance(runner, LoopRunner)
        future = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, 3), runner.loop.asyncio_loop)
        assert future.result(10) == 3
    until(lambda: threading.active_count() <= before, 10)


def test_the_provider_is_that_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swath.cluster.providers.aws.launch.Ec2Provider", lambda spec: ("ec2", spec.kind))
    monkeypatch.setattr("swath.cluster.providers.gcp.launch.GceProvider", lambda spec: ("gce", spec.kind))
    aws = AwsCluster(kind="aws", region="eu-central-1", image="x", security_groups=["sg-1"])
    gcp: GcpCluster = gcp_spec()
    found: list[Any] = [provider_of(aws), provider_of(gcp)]
    assert found == [("ec2", "aws"), ("gce", "gcp")]


def test_the_place_of_a_lease_is_the_region_or_the_project(steps: Steps) -> None:
    aws = AwsCluster(kind="aws", region="eu-central-1", image="x", security_groups=["sg-1"])
    with CloudMachines(aws, steps.context), steps.open():
        assert [each.place for each in steps.leases] == ["eu-central-1", "acme-maps"]
