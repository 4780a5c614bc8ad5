"""Machines are removed until the cloud lists none, whatever it answers meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from swath.cluster.providers.machine import Fleet, Kind, Machine, label
from swath.cluster.teardown import removal
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.removal import remove_all
from swath.errors import InfrastructureError, TeardownError


def machine(name: str, run: str = "r") -> Machine:
    return Machine(f"i-{name}", name, run, "worker", 0, "eu-central-1a", "running", "t3.medium")


@dataclass
class Listed:
    """A fleet in memory. Machines that are made late are listed from that listing on."""

    late: dict[int, list[Machine]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    down: Callable[[int], bool] = lambda listing: False
    there: list[Machine] = field(default_factory=list)
    listings: int = 0
    kind: Kind = "aws"
    place: str = "eu-central-1"

    def machines(self, run: str | None = None) -> list[Machine]:
        self.listings += 1
        self.there += self.late.get(self.listings, [])
        if self.down(self.listings):
            raise InfrastructureError("EC2 does not answer")
        return [each for each in self.there if run in (None, each.run)]

    def end(self, machines: Sequence[Machine]) -> None:
        self.there = [each for each in self.there if each not in machines or each.id in self.stuck]

    def console(self, machine: Machine, lines: int = 20) -> str:
        return ""

    def removal(self, machine: Machine) -> str:
        return f"aws ec2 terminate-instances --instance-ids {machine.id}"


_: type[Fleet] = Listed


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "LEAST_WAIT_S", 0.01)
    monkeypatch.setattr(removal, "MOST_WAIT_S", 0.05)


def test_a_machine_that_is_listed_late_is_removed_too_and_other_runs_are_left_alone() -> None:
    fleet = Listed(there=[machine("a"), machine("b", "other")], late={4: [machine("c")]})
    assert remove_all(fleet, "r", quiet_s=0.2) == 2
    assert fleet.there == [machine("b", "other")]


def test_a_cloud_that_does_not_answer_for_a_while_is_asked_again() -> None:
    said: list[str] = []
    fleet = Listed(there=[machine("a")], down=lambda listing: listing in (1, 2, 4))
    assert remove_all(fleet, "r", quiet_s=0.1, say=said.append) == 1
    assert fleet.there == []
    assert said == ["machines could not be removed yet: EC2 does not answer"] * 2


def test_one_empty_listing_is_no_proof() -> None:
    fleet = Listed()
    assert remove_all(fleet, "r", quiet_s=0.1) == 0
    assert fleet.listings >= 2


def test_what_stays_is_named_with_the_command_that_removes_it() -> None:
    fleet = Listed(there=[machine("a"), machine("b")], stuck={"i-b"})
    with pytest.raises(
        TeardownError, match=r"1 machine was not confirmed gone: b \(i-b, eu-central-1a, running\)"
    ) as bad:
        remove_all(fleet, "r", quiet_s=0.1, within_s=0.3)
    assert "aws ec2 terminate-instances --instance-ids i-b" in bad.value.remedy
    assert bad.value.exit_code == 7


def test_a_cloud_that_never_answers_is_no_proof_either() -> None:
    with pytest.raises(
        TeardownError, match="nobody knows whether machines of r are left in aws eu-central-1: EC2 does not"
    ):
        remove_all(Listed(down=lambda _: True), "r", quiet_s=0.1, within_s=0.3)


def test_a_lease_is_read_back_from_its_id_and_two_clusters_of_one_run_have_two() -> None:
    lease = CloudLease.new("20260301-120000-Größe:1-ab12", "gcp", "my-project")
    assert CloudLease.parse(lease.run, lease.id) == lease
    assert lease != CloudLease.new(lease.run, "gcp", "my-project")


def test_labels_are_what_every_cloud_takes_and_keep_what_tells_runs_apart() -> None:
    long = label("20260301-120000-" + "Ä very long name " * 5 + "-ab12")
    assert long.endswith("-ab12")
    assert len(long) == 63
    assert set(long) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
