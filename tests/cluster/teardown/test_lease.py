"""A lease names machines of its own run; what a changed journal says of another run's is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.teardown.lease import CloudLease, open_leases
from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow


def test_a_lease_is_parsed_from_its_id_and_every_cluster_has_its_own() -> None:
    lease = CloudLease.new("20260301-120000-Größe:1-ab12", "gcp", "my-project")
    assert CloudLease.parse(lease.run, lease.id) == lease
    assert lease != CloudLease.new(lease.run, "gcp", "my-project")
    assert lease.belongs


@pytest.mark.parametrize(
    ("run", "kind", "id_", "belongs"),
    [
        ("r", "aws", "aws:eu-central-1:r-1a2b", True),
        ("r", "kubernetes", "kubernetes:context/maps:r-1a2b", True),
        ("r", "aws", "aws:eu-central-1:r-1a2", False),
        ("r", "aws", "aws:eu-central-1:r-1A2B", False),
        ("r", "aws", "aws:eu-central-1:r-zzzz", False),
        ("r", "aws", "aws:eu-central-1:other-1a2b", False),
        ("r", "aws", "aws::r-1a2b", False),
        ("", "aws", "aws:eu-central-1:-1a2b", False),
        ("r", "gcp", "aws:eu-central-1:r-1a2b", False),
        ("r", "partial", "partial:x:r-1a2b", False),
    ],
)
def test_only_a_lease_as_a_run_writes_it_is_one(run: str, kind: str, id_: str, belongs: bool) -> None:
    assert (CloudLease.from_row(LeaseRow(id_, run, kind, 0.0)) is not None) is belongs


def test_open_leases_are_those_of_the_run(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        mine, other = (CloudLease.new(run, "aws", "eu-central-1") for run in ("r", "other"))
        mine.write(journal)
        other.write(journal)
        journal.write_lease("r", "partial", "/x")
        assert open_leases(journal, "r") == [mine]
        mine.end(journal)
        assert open_leases(journal, "r") == []
        assert len(journal.leases()) == 2
