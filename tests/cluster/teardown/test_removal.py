"""Machines are removed until the cloud lists none, whatever it answers meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import CloudKind, Machine
from swath.cluster.teardown import removal
from swath.cluster.teardown.removal import RemovalLimits, remove_all
from swath.errors import InfrastructureError, TeardownError


def machine(name: str, run: str = "r") -> Machine:
    return Machine(f"i-{name}", name, run, "worker", 0, "eu-central-1a", "running", "t3.medium")


@dataclass
class FleetInMemory:
    """`late`: number of a listing -> machines that are listed from it on. `stuck`: ids that cannot be terminated. `down`: whether a
    listing fails."""

    late: dict[int, list[Machine]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    down: Callable[[int], bool] = lambda listing: False
    there: list[Machine] = field(default_factory=list)
    listings: int = 0
    kind: CloudKind = "aws"
    place: str = "eu-central-1"

    def machines(self, run: str | None = None) -> list[Machine]:
        self.listings += 1
        self.there += self.late.get(self.listings, [])
        if self.down(self.listings):
            raise InfrastructureError("EC2 does not answer")
        return [each for each in self.there if run in (None, each.run)]

    def terminate(self, machines: Sequence[Machine]) -> None:
        self.there = [each for each in self.there if each not in machines or each.id in self.stuck]

    def console(self, machine: Machine, lines: int = 20) -> str:
        return ""

    def removal_command(self, machine: Machine) -> str:
        return f"aws ec2 terminate-instances --instance-ids {machine.id}"


_: type[Fleet] = FleetInMemory


LIMITS = RemovalLimits(empty_for_s=0.1, give_up_s=30, min_wait_s=0.01, max_wait_s=0.05)


def test_a_machine_that_is_listed_late_is_removed_too_and_other_runs_are_left_alone() -> None:
    fleet = FleetInMemory(there=[machine("a"), machine("b", "other")], late={4: [machine("c")]})
    assert remove_all(fleet, "r", limits=replace(LIMITS, empty_for_s=0.2)) == 2
    assert fleet.there == [machine("b", "other")]


def test_a_cloud_that_does_not_answer_for_a_while_is_retried() -> None:
    messages: list[str] = []
    fleet = FleetInMemory(there=[machine("a")], down=lambda listing: listing in (1, 2, 4))
    assert remove_all(fleet, "r", limits=LIMITS, say=messages.append) == 1
    assert fleet.there == []
    assert messages == ["machines could not be removed yet: EC2 does not answer"] * 2


def test_one_empty_listing_is_not_enough() -> None:
    fleet = FleetInMemory()
    assert remove_all(fleet, "r", limits=LIMITS) == 0
    assert fleet.listings >= 2


def test_machines_that_are_left_are_named_with_the_command_that_removes_them() -> None:
    fleet = FleetInMemory(there=[machine("a"), machine("b")], stuck={"i-b"})
    with pytest.raises(
        TeardownError, match=r"1 machine was not confirmed gone: b \(i-b, eu-central-1a, running\)"
    ) as bad:
        remove_all(fleet, "r", limits=replace(LIMITS, give_up_s=0.3))
    assert "aws ec2 terminate-instances --instance-ids i-b" in bad.value.remedy
    assert bad.value.exit_code == 7


def test_a_cloud_that_never_answers_is_an_error() -> None:
    with pytest.raises(
        TeardownError, match="it is not known whether machines of r are left in aws eu-central-1: EC2 does not"
    ):
        remove_all(FleetInMemory(down=lambda _: True), "r", limits=replace(LIMITS, give_up_s=0.3))


class Clock:
    """Time that passes while it is slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.slept = 1000.0, list[float]()
        # Of this module alone: threads of other tests ask for the time and sleep, too.
        monkeypatch.setattr(removal, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_wait_doubles_up_to_its_limit_while_the_cloud_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    fleet = FleetInMemory(down=lambda listing: listing <= 6)
    limits = RemovalLimits(empty_for_s=5, give_up_s=300, min_wait_s=0.5, max_wait_s=10)
    assert remove_all(fleet, "r", limits=limits) == 0
    assert clock.slept[:6] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert set(clock.slept[6:]) == {0.5}
    assert sum(clock.slept[6:]) == 5.0, "listings have to be empty for so long"


def test_between_empty_listings_half_of_the_quiet_time_is_waited_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limits = RemovalLimits(empty_for_s=0.4, give_up_s=300, min_wait_s=0.5)
    assert remove_all(FleetInMemory(), "r", limits=limits) == 0
    assert clock.slept == [0.2, 0.2]


def test_what_is_left_is_an_error_after_the_limit_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    fleet = FleetInMemory(there=[machine("a")], stuck={"i-a"})
    with pytest.raises(TeardownError):
        remove_all(fleet, "r", limits=RemovalLimits(give_up_s=10, min_wait_s=4))
    assert clock.slept == [4.0] * 3


def test_a_machine_that_comes_back_begins_the_quiet_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    fleet = FleetInMemory(late={3: [machine("c")]}, down=lambda listing: listing == 6)
    assert remove_all(fleet, "r", limits=RemovalLimits(empty_for_s=2, give_up_s=60, min_wait_s=1)) == 1
    assert fleet.listings == 9
    assert sum(clock.slept) == 9.0, "one of them was a doubled wait"


def test_an_error_is_told_again_only_when_it_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    messages: list[str] = []
    remove_all(FleetInMemory(down=lambda listing: listing <= 3), "r", say=messages.append)
    assert len(messages) == 1


@pytest.mark.parametrize(("given", "used"), [("", 5.0), ("0.2", 0.2), ("60", 5.0)])
def test_the_environment_makes_limits_shorter_only(monkeypatch: pytest.MonkeyPatch, given: str, used: float) -> None:
    monkeypatch.setenv("SWATH_CLOUD_QUIET_S", given)
    monkeypatch.setenv("SWATH_CLOUD_WITHIN_S", given and str(60 * float(given)))
    found = RemovalLimits().within_environment()
    assert (found.empty_for_s, found.give_up_s) == (used, 60 * used)


def test_several_machines_that_are_left_are_counted() -> None:
    fleet = FleetInMemory(there=[machine("a"), machine("b")], stuck={"i-a", "i-b"})
    with pytest.raises(TeardownError, match="2 machines were not confirmed gone"):
        remove_all(fleet, "r", limits=replace(LIMITS, give_up_s=0.1))
