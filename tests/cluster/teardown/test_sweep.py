from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from swath.cluster.providers.machine import Machine
from swath.cluster.teardown import sweep
from swath.cluster.teardown.lease import CloudLease, open_leases
from swath.cluster.teardown.partial_output import PARTIAL
from swath.cluster.teardown.sweep import LISTED_AFTER_S, find_leftovers
from swath.engine.journal import Journal
from swath.engine.process import Process
from swath.errors import InfrastructureError, TeardownError
from tests.engine.conftest import run_row


def test_leftovers_of_a_crashed_run_are_found_and_removed_and_those_of_a_running_one_are_not(tmp_path: Path) -> None:
    gone, here = tmp_path / ".out.gone.partial", tmp_path / ".out.here.partial"
    for folder in (gone, here):
        folder.mkdir()
        (folder / "map.tif").write_bytes(b"12345")
    me = Process.this()
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=me.started - 1000))
        journal.start_run(run_row("here"))
        for name, folder in (("gone", gone), ("here", here), ("gone", tmp_path / "never made")):
            journal.write_lease(name, PARTIAL, str(folder))
        (left,) = find_leftovers(journal).leftovers
        assert (left.id, left.status, left.size) == (str(gone), "crashed", 5)
        assert {lease.id for lease in journal.leases()} == {str(gone), str(here)}
        left.remove(journal)
        assert not gone.exists()
        assert here.exists()
        assert find_leftovers(journal).leftovers == []


def test_a_leftover_that_cannot_be_removed_is_exit_code_7(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        file = tmp_path / "not a folder"
        file.write_text("x")
        journal.write_lease("gone", PARTIAL, str(file))
        (left,) = find_leftovers(journal).leftovers
        with pytest.raises(TeardownError) as caught:
            left.remove(journal)
        assert caught.value.exit_code == 7
        assert [lease.id for lease in journal.leases()] == [str(file)]


@pytest.mark.parametrize(("seconds", "removed"), [(-3700, True), (-2, True), (30, False), (3700, False), (None, True)])
def test_machines_without_a_lease_are_left_over_as_soon_as_they_have_expired_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float | None, removed: bool
) -> None:
    """seconds: from now to the expiry in the machine's label; None for a label that cannot be read, which counts as 0."""
    expires = 0.0 if seconds is None else time.time() + seconds
    machine = Machine("i-1", "m-1", "other-run", "worker", expires, "zone", "running", "m7i.large")

    class Fleet:
        def machines(self, label: str | None = None) -> list[Machine]:
            return [machine, replace(machine, id="i-2", run="")]  # the second is none of swath's

    monkeypatch.setattr(sweep, "fleet_of", lambda kind, place: Fleet())
    with Journal.open(tmp_path / "state") as journal:
        found = find_leftovers(journal, [("aws", "eu-central-1")]).leftovers
    assert [(left.id, left.status) for left in found] == [("aws:eu-central-1:other-run", "expired")] * removed
    assert [line.partition(" in ")[0] for left in found for line in left.lines] == [
        "m-1 (m7i.large i-1, running)"
    ] * removed


@pytest.mark.parametrize(
    ("kind", "lease"),
    [
        ("aws", "aws:eu-central-1:"),
        ("aws", "aws:eu-central-1:other-run-1a2b"),
        ("aws", "aws:eu-central-1:gone"),
        ("aws", "gcp:eu-central-1:gone-1a2b"),
        ("gcp", "gcp::gone-1a2b"),
        ("kubernetes", "/"),
    ],
)
def test_a_lease_of_machines_that_are_not_its_runs_is_refused_and_no_cloud_is_asked(
    tmp_path: Path, kind: str, lease: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*args: object) -> None:
        raise AssertionError("a cloud was asked")

    monkeypatch.setattr("swath.cluster.teardown.sweep.fleet_of", asked)
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        journal.write_lease("gone", kind, lease)
        (left,) = find_leftovers(journal).leftovers
        with pytest.raises(TeardownError) as caught:
            left.remove(journal)
        assert caught.value.message == f"not removed: {lease} is not a lease of machines of run gone"
        assert open_leases(journal, "gone") == []  # nor does `pipe resume` terminate them


class FakeFleet:
    """Machines of a region; `error` in place of a listing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *machines: Machine) -> None:
        self.there, self.error = list(machines), False
        self.asked: list[str | None] = []
        monkeypatch.setattr(sweep, "fleet_of", lambda kind, place: self)
        monkeypatch.setattr(sweep, "remove_all", lambda fleet, label: self.there.clear())

    def machines(self, label: str | None = None) -> list[Machine]:
        self.asked.append(label)
        if self.error:
            raise InfrastructureError("EC2 does not answer")
        return [each for each in self.there if label in (None, each.run)]


def machine(run: str, expires: float = 0.0) -> Machine:
    return Machine(f"i-{run}", "m-1", run, "worker", expires, "zone", "running", "m7i.large")


def test_machines_of_a_crashed_run_are_found_by_their_lease_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = [CloudLease.new(run, "aws", "eu-central-1") for run in ("gone", "here")]
    fleet = FakeFleet(monkeypatch, *(machine(each.label) for each in leases))
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        journal.start_run(run_row("here"))
        for each in leases:
            each.write(journal)
        found = find_leftovers(journal, [("aws", "eu-central-1")] * 2)
        [left] = found.leftovers
        assert (left.kind, left.id, left.run, left.status, left.size) == ("aws", leases[0].id, "gone", "crashed", 0)
        assert left.leased_at == journal.leases()[0].created
        assert fleet.asked == [leases[0].label, None], "a place is searched once; what has a lease is not there again"
        left.remove(journal)
        assert (fleet.there, [each.run for each in journal.leases()]) == ([], ["here"])


@pytest.mark.parametrize(("age", "ended"), [(LISTED_AFTER_S + 1, True), (LISTED_AFTER_S - 30, False)])
def test_a_lease_without_machines_ends_once_they_would_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float, ended: bool
) -> None:
    FakeFleet(monkeypatch)
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        CloudLease.new("gone", "aws", "eu-central-1").write(journal)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + age)
        found = find_leftovers(journal)
        assert ([each.lines for each in found.leftovers], journal.leases() == []) == ([] if ended else [[]], ended)


def test_a_cloud_that_does_not_answer_is_told_for_each_lease_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = FakeFleet(monkeypatch)
    fleet.error = True
    lease = CloudLease.new("gone", "aws", "eu-central-1")
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("gone", process_started=1.0))
        lease.write(journal)
        found = find_leftovers(journal, [("gcp", "acme")])
        assert [(what, error.message) for what, error in found.unknown] == [
            (lease.id, "EC2 does not answer"), ("gcp:acme", "EC2 does not answer"),
        ]  # fmt: skip
        assert found.leftovers == []
        assert [each.id for each in journal.leases()] == [lease.id]


def test_what_is_left_of_one_run_is_searched_without_the_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = [CloudLease.new(run, "aws", "eu-central-1") for run in ("a", "b", "unknown")]
    fleet = FakeFleet(monkeypatch, *(machine(each.label) for each in leases))
    with Journal.open(tmp_path / "state") as journal:
        journal.start_run(run_row("a", process_started=1.0))
        journal.start_run(run_row("b", process_started=1.0))
        for each in leases:
            each.write(journal)
        found = find_leftovers(journal, [("aws", "eu-central-1")], run="b")
        assert [each.run for each in found.leftovers] == ["b"]
        assert fleet.asked == [leases[1].label]
        every = find_leftovers(journal)
        assert [(each.run, each.status) for each in every.leftovers] == [
            ("a", "crashed"), ("b", "crashed"), ("unknown", "unknown"),
        ]  # fmt: skip


def test_expired_machines_are_listed_by_their_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past = time.time() - 5
    FakeFleet(monkeypatch, machine("r-1", past), machine("r-2", past), machine("r-1", past), machine("r-3", past + 600))
    with Journal.open(tmp_path / "state") as journal:
        found = find_leftovers(journal, [("aws", "eu-central-1")]).leftovers
    assert [(each.id, len(each.lines), each.leased_at) for each in found] == [
        ("aws:eu-central-1:r-1", 2, None), ("aws:eu-central-1:r-2", 1, None),
    ]  # fmt: skip
