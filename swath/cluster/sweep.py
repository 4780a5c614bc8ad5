"""What crashed runs left behind: found through the leases in the journal, and removed.

A lease is written before a thing is made and ended when it is confirmed gone, so whatever is left has one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from swath.cluster import scratch
from swath.engine.journal import Journal, Lease
from swath.errors import TeardownError

PARTIAL = "partial"
"""Kind of lease of an unfinished output folder."""


@dataclass(frozen=True)
class Leftover:
    """Something that a run which is not going on any more has left."""

    lease: Lease
    status: str
    """Of the run."""
    size: int
    """Bytes."""


def find(journal: Journal) -> list[Leftover]:
    """What is left. Leases of things that are gone, or were never made, are ended on the way, and scratch folders go that
    workers of killed runs had."""
    scratch.sweep(journal.folder / "scratch")
    status = {run.id: run.status for run in journal.runs()}
    found = []
    for lease in journal.leases():
        if status.get(lease.run) == "running":
            continue
        path = Path(lease.id)
        if path.exists():
            found.append(Leftover(lease, status.get(lease.run, "unknown"), _size(path)))
        else:
            journal.end_lease(lease.id)
    return found


def remove(journal: Journal, leftover: Leftover) -> None:
    """Remove it and end its lease. Raises TeardownError when it cannot be removed."""
    try:
        shutil.rmtree(leftover.lease.id)
    except OSError as error:
        raise TeardownError(
            f"{leftover.lease.id} cannot be removed: {error}", remedy="remove it by hand, then run `pipe sweep`"
        ) from error
    journal.end_lease(leftover.lease.id)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
