from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from swath.cluster.providers.machine import Machine
from swath.cluster.teardown import sweep
from swath.cluster.teardown.lease import open_leases
from swath.cluster.teardown.partial_output import PARTIAL
from swath.cluster.teardown.sweep import find_leftovers
from swath.engine.journal import Journal
from swath.engine.process import Process
from swath.errors import TeardownError
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
