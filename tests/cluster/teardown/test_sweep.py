from __future__ import annotations

from pathlib import Path

import pytest

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
