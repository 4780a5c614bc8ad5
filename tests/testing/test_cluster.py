"""Every cluster runs the conformance suite; and clusters that are wrong in one thing fail the test of that thing."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil
import pytest

from swath.cluster.cloud.cloud import CloudMachines
from swath.cluster.contract import RunContext, RunningCluster
from swath.cluster.local.address import Address, AddressLimits
from swath.cluster.local.inline import Inline
from swath.cluster.local.local import Local
from swath.cluster.open import open_cluster as open_spec
from swath.cluster.providers.aws.fleet import Ec2Fleet
from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.gcp.fleet import GceFleet
from swath.cluster.teardown.lease import CloudLease
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.cluster import AddressCluster, LocalCluster
from swath.testing.cluster import ClusterTests, OpenCluster, suite_run
from tests.clouds.control import Cloud, started
from tests.clouds.plugin import ec2_cloud, ec2_process, gce_cloud, gce_process
from tests.cluster.conftest import ExternalCluster
from tests.cluster.specs import ec2_spec, gce_spec
from tests.testing.conftest import run_kubernetes_suite
from tests.testing.test_fleet import MemoryFleet

__all__ = ["ec2_cloud", "ec2_process", "gce_cloud", "gce_process"]


class TestInline(ClusterTests):
    has_workers = False
    checks_store = False

    @pytest.fixture
    def cluster(self) -> Iterator[RunningCluster]:
        with Inline() as cluster:
            yield cluster

    @pytest.fixture
    def open_cluster(self) -> OpenCluster:
        return lambda context: Inline()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with open_spec(LocalCluster(workers=2), tmp_path_factory.mktemp("local")) as running:
        yield running


class TestLocal(ClusterTests):
    workers = 2
    checks_store = False

    @pytest.fixture
    def cluster(self, local: RunningCluster) -> RunningCluster:
        return local

    @pytest.fixture
    def open_cluster(self, local: RunningCluster, tmp_path: Path) -> OpenCluster:  # the fork server is started by then
        return lambda context: Local(LocalCluster(workers=2), tmp_path / "local")

    @pytest.fixture
    def open_failing_cluster(self, local: RunningCluster, tmp_path: Path) -> OpenCluster:
        return lambda context: Local(LocalCluster(workers=2), tmp_path / "local", start_timeout_s=0)

    @pytest.fixture
    def existing(self, local: RunningCluster, tmp_path: Path) -> Callable[[], list[str]]:
        """Worker processes beside those of the running cluster, and scratch files."""
        before = {process.pid for process in _descendants()}

        def left() -> list[str]:
            processes = [str(process) for process in _descendants() if process.pid not in before]
            return processes + [str(file) for file in (tmp_path / "local").rglob("*")]

        return left


def _descendants() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children(recursive=True)


@pytest.fixture(scope="module")
def external(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExternalCluster]:
    cluster = ExternalCluster(tmp_path_factory.mktemp("external") / "cluster")
    cluster.worker()
    yield cluster
    cluster.end()


class TestAddress(ClusterTests):
    @pytest.fixture
    def cluster(self, external: ExternalCluster) -> Iterator[RunningCluster]:
        with Address(AddressCluster(url=external.address)) as cluster:
            yield cluster

    @pytest.fixture
    def open_cluster(self, external: ExternalCluster) -> OpenCluster:
        return lambda context: Address(AddressCluster(url=external.address))

    @pytest.fixture
    def open_failing_cluster(self, tmp_path: Path) -> Iterator[OpenCluster]:
        alone = ExternalCluster(tmp_path / "alone")
        yield lambda context: Address(AddressCluster(url=alone.address), AddressLimits(workers_s=0.2))
        alone.end()


# --- machines in simulated clouds


QUICK = {"SWATH_CLOUD_PACE_S": "0.2", "SWATH_CLOUD_QUIET_S": "0.5", "SWATH_CLOUD_WITHIN_S": "60"}
"""A simulated cloud lists a machine at once, and boots it in seconds."""


@contextlib.contextmanager
def running_in(kind: Literal["ec2", "gce"], folder: Path) -> Iterator[RunningCluster]:
    """A cluster in a simulated cloud of its own, which tests do not reset."""
    with contextlib.ExitStack() as exits:
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        cloud = exits.enter_context(started(kind, folder / "cloud"))
        for name, value in {**cloud.environment, **QUICK}.items():
            patch.setenv(name, value)
        journal = exits.enter_context(Journal.open(folder / "state"))
        spec = ec2_spec(cloud, workers=1) if kind == "ec2" else gce_spec(cloud, workers=1)
        yield exits.enter_context(
            open_spec(spec, folder, RunContext("20260301-120000-shared-1a2b", journal, Stop(), print))
        )


def environment_of_worker(name: str) -> str | None:
    return os.environ.get(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.allow_hosts("127.0.0.0/8")
@pytest.mark.parametrize("kind", ["ec2", "gce"])
def test_secrets_of_env_reach_workers_and_are_in_no_user_data(
    kind: Literal["ec2", "gce"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2hunter2"
    env = {"PLAIN": "seen", "ADDRESS": f"https://x/?key={secret}", "API_TOKEN": "written out"}
    with started(kind, tmp_path / "cloud") as cloud, Journal.open(tmp_path / "state") as journal:
        for name, value in {**cloud.environment, **QUICK}.items():
            monkeypatch.setenv(name, value)
        spec = (ec2_spec if kind == "ec2" else gce_spec)(cloud, workers=1, env=env, secret_env=True)
        context = RunContext("20260301-120000-secret-1a2b", journal, Stop(), print, secrets=(secret,))
        with CloudMachines(spec, context) as cluster:
            data = [cloud.user_data(machine) for machine in cloud.names()]
            found = [cluster.session.client.submit(environment_of_worker, name).result(60) for name in env]
    assert len(data) == 2
    assert "PLAIN=seen" in "".join(data)
    assert not any(secret in each or "API_TOKEN" in each or "written out" in each for each in data)
    assert found == list(env.values())


@pytest.fixture(scope="module")
def ec2_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_in("ec2", tmp_path_factory.mktemp("ec2-shared")) as running:
        yield running


@pytest.fixture(scope="module")
def gce_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_in("gce", tmp_path_factory.mktemp("gce-shared")) as running:
        yield running


class CloudTests(ClusterTests):
    """What both simulated clouds have in common."""

    creates_machines = True
    deadline_s = 90.0

    @pytest.fixture
    def cloud(self) -> Cloud:
        raise NotImplementedError

    @pytest.fixture
    def spec(self, cloud: Cloud) -> AwsCluster | GcpCluster:
        raise NotImplementedError

    @pytest.fixture
    def open_cluster(self, spec: AwsCluster | GcpCluster, monkeypatch: pytest.MonkeyPatch) -> OpenCluster:
        for name, value in QUICK.items():
            monkeypatch.setenv(name, value)
        return lambda context: CloudMachines(spec, context)

    @pytest.fixture
    def open_failing_cluster(self, cloud: Cloud, open_cluster: OpenCluster) -> OpenCluster:
        cloud.quota(nth=2, times=0)  # there is a scheduler by then
        return open_cluster


@pytest.mark.slow
@pytest.mark.allow_hosts("127.0.0.0/8")
class TestEc2(CloudTests):
    @pytest.fixture
    def cluster(self, ec2_running: RunningCluster) -> RunningCluster:
        return ec2_running

    @pytest.fixture
    def cloud(self, ec2_cloud: Cloud) -> Cloud:
        return ec2_cloud

    @pytest.fixture
    def spec(self, cloud: Cloud) -> AwsCluster:
        return ec2_spec(cloud, workers=1)

    @pytest.fixture
    def fleet(self, cloud: Cloud) -> Fleet:
        return Ec2Fleet(cloud.network["region"])


@pytest.mark.slow
@pytest.mark.allow_hosts("127.0.0.0/8")
class TestComputeEngine(CloudTests):
    @pytest.fixture
    def cluster(self, gce_running: RunningCluster) -> RunningCluster:
        return gce_running

    @pytest.fixture
    def cloud(self, gce_cloud: Cloud) -> Cloud:
        return gce_cloud

    @pytest.fixture
    def spec(self, cloud: Cloud) -> GcpCluster:
        return gce_spec(cloud, workers=1)

    @pytest.fixture
    def fleet(self, cloud: Cloud) -> Fleet:
        return GceFleet(cloud.network["project"])


@pytest.mark.slow
def test_pods_on_kubernetes_pass_the_suite() -> None:
    run_kubernetes_suite("TestCluster", ClusterTests)


# --- a right cluster that creates machines in a list, and wrong ones


class MemoryCluster(Inline):
    """Calls run in this process; a machine is created for the look of it."""

    workers = 1

    def __init__(self, context: RunContext, fleet: MemoryFleet) -> None:
        self.context = context
        self.fleet = fleet
        self.lease = CloudLease.new(context.run, "aws", "nowhere-1")
        self.up = False

    def __enter__(self) -> Self:
        super().__enter__()
        self.begin()
        self.up = True
        if self.context.stop.requested:
            self.__exit__(None, None, None)
            raise self.context.stop.requested
        return self

    def begin(self) -> None:
        self.lease.write(self.context.journal)
        self.create()

    def create(self, lifetime_s: float = 3600) -> None:
        for role in ("scheduler", "worker"):
            self.fleet.launch(self.lease.label, role, time.time() + lifetime_s)
            self.fleet.listed[-1] = replace(self.fleet.listed[-1], role=role)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.up:
            self.up = False
            self.end()

    def end(self) -> None:
        self.fleet.terminate(self.fleet.machines(self.lease.label))
        self.lease.end(self.context.journal)


class TestInMemory(ClusterTests):
    has_workers = False
    checks_store = False
    creates_machines = True

    @pytest.fixture
    def fleet(self) -> Fleet:
        return MemoryFleet()

    @pytest.fixture
    def cluster(self) -> RunningCluster:
        return Inline()

    @pytest.fixture
    def open_cluster(self, fleet: MemoryFleet) -> OpenCluster:
        return lambda context: MemoryCluster(context, fleet)


class LeasedLate(MemoryCluster):
    """The lease is written when there are machines."""

    def begin(self) -> None:
        self.create()
        self.lease.write(self.context.journal)


class EndedEarly(MemoryCluster):
    """The lease ends while there are machines."""

    def end(self) -> None:
        self.lease.end(self.context.journal)
        self.fleet.terminate(self.fleet.machines(self.lease.label))


class LeavesMachines(MemoryCluster):
    """Machines stay."""

    def end(self) -> None:
        self.lease.end(self.context.journal)


class LeavesLease(MemoryCluster):
    """The lease does not end."""

    def end(self) -> None:
        self.fleet.terminate(self.fleet.machines(self.lease.label))


class Immortal(MemoryCluster):
    """Machines expire in a year."""

    def create(self, lifetime_s: float = 365 * 24 * 3600) -> None:
        super().create(lifetime_s)


class ClosesOnce(MemoryCluster):
    """Closing a second time is an error."""

    closed = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
        super().__exit__(kind, error, trace)


class Miscounted(MemoryCluster):
    """There are other numbers of workers than asked for."""

    workers = 3


LIFE = "test_it_starts_works_closes_twice_and_leaves_nothing"


@pytest.mark.parametrize(
    "wrong", [LeasedLate, EndedEarly, LeavesMachines, LeavesLease, Immortal, ClosesOnce, Miscounted]
)
def test_a_cluster_that_is_wrong_in_one_thing_fails_the_suite(wrong: type[MemoryCluster], tmp_path: Path) -> None:
    for kind in (MemoryCluster, wrong):
        fleet = MemoryFleet()
        test = functools.partial(
            getattr(TestInMemory(), LIFE),
            functools.partial(kind, fleet=fleet),
            fleet=fleet,
            results=str(tmp_path / "results"),
        )
        with suite_run(tmp_path / kind.__name__, lambda fleet=fleet: [each.name for each in fleet.listed]) as run:  # type: ignore[misc]
            if kind is MemoryCluster:
                test(suite_run=run)
            else:
                with pytest.raises((AssertionError, RuntimeError)):
                    test(suite_run=run)
