"""Every fleet runs the conformance suite, in simulated clouds; and fleets that are wrong in one thing fail the test of that thing."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from swath.cluster.machine.self_removal import ENDPOINT
from swath.cluster.providers.aws.api import AwsLimits
from swath.cluster.providers.aws.fleet import Ec2Fleet
from swath.cluster.providers.aws.launch import Ec2Provider
from swath.cluster.providers.contract import Fleet, LaunchRequest
from swath.cluster.providers.gcp.fleet import GceFleet
from swath.cluster.providers.gcp.google_api import GoogleLimits
from swath.cluster.providers.gcp.launch import GceProvider
from swath.cluster.providers.machine import CloudKind, Machine
from swath.cluster.teardown.removal import RemovalLimits
from swath.errors import InfrastructureError
from swath.testing.fleet import FleetTests, Launch
from tests.clouds.control import Cloud
from tests.clouds.plugin import ec2_cloud, ec2_process, gce_cloud, gce_process
from tests.cluster.specs import ec2_spec, gce_spec
from tests.testing.conftest import run_kubernetes_suite

__all__ = ["ec2_cloud", "ec2_process", "gce_cloud", "gce_process"]
Break = Callable[[], AbstractContextManager[None]]
QUIET = "#cloud-config\nruncmd:\n  - echo up\n"


def request(name: str, type_: str, run: str, expires: float) -> LaunchRequest:
    return LaunchRequest(name, "worker", type_, False, run, expires, QUIET)


@contextlib.contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, value)
        yield


def broken(cloud: Cloud) -> Break:
    @contextlib.contextmanager
    def break_termination() -> Iterator[None]:
        cloud.fail_removal(times=0, status=400)
        yield
        cloud.clear_faults()

    return break_termination


class TestEc2(FleetTests):
    @pytest.fixture
    def fleet(self, ec2_cloud: Cloud) -> Fleet:
        return Ec2Fleet(ec2_cloud.network["region"])

    @pytest.fixture
    def launch(self, ec2_cloud: Cloud) -> Launch:
        provider = Ec2Provider(ec2_spec(ec2_cloud))
        return lambda run, name, expires: provider.launch(request(name, "m7i.xlarge", run, expires))

    @pytest.fixture
    def break_termination(self, ec2_cloud: Cloud) -> Break:
        return broken(ec2_cloud)

    @pytest.fixture
    def unreachable_fleet(self, ec2_cloud: Cloud) -> Iterator[Fleet]:
        with environment("AWS_ENDPOINT_URL", "http://127.0.0.1:9"):
            yield Ec2Fleet(ec2_cloud.network["region"], AwsLimits(attempts=1))


class TestComputeEngine(FleetTests):
    @pytest.fixture
    def fleet(self, gce_cloud: Cloud) -> Fleet:
        return GceFleet(gce_cloud.network["project"])

    @pytest.fixture
    def launch(self, gce_cloud: Cloud) -> Launch:
        provider = GceProvider(gce_spec(gce_cloud))
        return lambda run, name, expires: provider.launch(request(name, "n2-standard-4", run, expires))

    @pytest.fixture
    def break_termination(self, gce_cloud: Cloud) -> Break:
        return broken(gce_cloud)

    @pytest.fixture
    def unreachable_fleet(self, gce_cloud: Cloud) -> Iterator[Fleet]:
        with environment(ENDPOINT, "http://127.0.0.1:9/compute/v1/"):
            yield GceFleet(gce_cloud.network["project"], GoogleLimits(retries=0))


@pytest.mark.slow
def test_the_fleet_of_kubernetes_passes_the_suite() -> None:
    run_kubernetes_suite("TestFleet", FleetTests)


# --- fleets in memory: a right one, and wrong ones


@dataclass
class MemoryFleet:
    """Machines in a list."""

    listed: list[Machine] = field(default_factory=list)
    down: bool = False
    refusing: bool = False
    kind: CloudKind = "aws"
    place: str = "nowhere-1"

    def launch(self, run: str, name: str, expires: float) -> None:
        self.listed.append(Machine(f"i-{len(self.listed)}-{name}", name, run, "worker", expires, self.place, "running"))

    def machines(self, run: str | None = None) -> list[Machine]:
        if self.down:
            raise InfrastructureError("the cloud does not answer")
        return [each for each in self.listed if run in (None, each.run)]

    def terminate(self, machines: Sequence[Machine]) -> None:
        if self.refusing:
            raise InfrastructureError("no machine is terminated now")
        self.listed = [each for each in self.listed if each not in machines]

    def console(self, machine: Machine, lines: int = 20) -> str:
        return "\n".join(["up"] * lines)

    def removal_command(self, machine: Machine) -> str:
        return f"remove {machine.id}"

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        self.refusing = True
        yield
        self.refusing = False


class TestInMemory(FleetTests):
    limits: ClassVar[RemovalLimits] = RemovalLimits(0.02, 5.0, 0.01, 0.02)

    @pytest.fixture
    def fleet(self) -> Fleet:
        return MemoryFleet()

    @pytest.fixture
    def launch(self, fleet: MemoryFleet) -> Launch:
        return fleet.launch

    @pytest.fixture
    def break_termination(self, fleet: MemoryFleet) -> Break:
        return fleet.refused

    @pytest.fixture
    def unreachable_fleet(self) -> Fleet:
        return MemoryFleet(down=True)


class EmptyWhenDown(MemoryFleet):
    """A cloud that does not answer seems to have no machines."""

    def machines(self, run: str | None = None) -> list[Machine]:
        return [] if self.down else super().machines(run)


class WithoutExpiry(MemoryFleet):
    """Machines have no expiry."""

    def machines(self, run: str | None = None) -> list[Machine]:
        return [replace(each, expires=0.0) for each in super().machines(run)]


class OfAllRuns(MemoryFleet):
    """The run is not looked at."""

    def machines(self, run: str | None = None) -> list[Machine]:
        return super().machines()


class FailsForGone(MemoryFleet):
    """Terminating a machine that is gone is an error."""

    def terminate(self, machines: Sequence[Machine]) -> None:
        if any(each not in self.listed for each in machines):
            raise InfrastructureError("no such machine")
        super().terminate(machines)


class TerminatesAll(MemoryFleet):
    """Machines of other runs are terminated, too."""

    def terminate(self, machines: Sequence[Machine]) -> None:
        super().terminate(self.listed if machines else [])


class Silent(MemoryFleet):
    """A refused termination is no error."""

    def terminate(self, machines: Sequence[Machine]) -> None:
        with contextlib.suppress(InfrastructureError):
            super().terminate(machines)


@pytest.mark.parametrize(
    ("wrong", "test"),
    [
        (EmptyWhenDown, "test_a_cloud_that_does_not_answer_is_an_error_and_not_an_empty_listing"),
        (WithoutExpiry, "test_every_machine_is_listed_with_its_run_its_role_and_its_expiry"),
        (OfAllRuns, "test_machines_are_listed_by_run_and_of_all_runs"),
        (FailsForGone, "test_terminating_what_is_gone_is_no_error_and_others_are_terminated"),
        (TerminatesAll, "test_terminated_machines_disappear_and_those_of_another_run_stay"),
        (Silent, "test_a_refused_termination_is_an_error_and_the_machine_stays_listed"),
    ],
)
def test_a_fleet_that_is_wrong_in_one_thing_fails_the_test_of_that_thing(wrong: type[MemoryFleet], test: str) -> None:
    suite = TestInMemory()
    for kind in (MemoryFleet, wrong):
        fleet = kind()
        given: dict[str, Any] = {
            "fleet": fleet, "launch": fleet.launch, "break_termination": fleet.refused, "unreachable_fleet": kind(down=True),
        }  # fmt: skip
        run = getattr(suite, test)
        arguments = {name: given[name] for name in inspect.signature(run).parameters}
        if kind is MemoryFleet:
            run(**arguments)
        else:
            with pytest.raises((AssertionError, InfrastructureError, pytest.fail.Exception)):
                run(**arguments)
