"""What crashed runs left behind: found through the leases in the journal, and removed.

A lease is written before a thing is made and ended when it is confirmed gone, so whatever is left has one. Machines are also found
without: every one carries its expiry, so that any computer with the account's credentials can remove what has expired.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from swath.cluster.local import scratch
from swath.cluster.providers.machine import Kind, Machine, fleet_of
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.removal import remove_all
from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow
from swath.errors import SwathError, TeardownError

PARTIAL = "partial"
"""Kind of lease of an unfinished output folder."""
EXPIRED = "expired"
"""What stands for the status of a run that this journal does not know."""
SETTLED_S = 60.0
"""So long after its lease was written, a machine that was asked for is listed for certain."""

Place = tuple[Kind, str]
"""Where machines may be: a cloud, and its region (AWS) or project (Google Cloud)."""


class Leftover(Protocol):
    """Something that a run which is not going on any more has left."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str:
        """A path, or the lease of machines."""
        ...

    @property
    def run(self) -> str: ...
    @property
    def status(self) -> str:
        """Of the run."""
        ...

    @property
    def made(self) -> float | None:
        """When its lease was written, in seconds since 1970; None when that is in another journal."""
        ...

    @property
    def size(self) -> int:
        """Bytes on this machine's disks."""
        ...

    @property
    def about(self) -> list[str]:
        """What there is, a line each."""
        ...

    def remove(self, journal: Journal) -> None:
        """Remove it and end its lease. Raises TeardownError when it cannot be removed."""
        ...


@dataclass(frozen=True)
class PartialOutput:
    """An unfinished output folder."""

    lease: LeaseRow
    status: str
    size: int

    @property
    def kind(self) -> str:
        return self.lease.kind

    @property
    def id(self) -> str:
        return self.lease.id

    @property
    def run(self) -> str:
        return self.lease.run

    @property
    def made(self) -> float | None:
        return self.lease.created

    @property
    def about(self) -> list[str]:
        return [self.lease.id]

    def remove(self, journal: Journal) -> None:
        try:
            shutil.rmtree(self.id)
        except OSError as error:
            raise TeardownError(
                f"{self.id} cannot be removed: {error}", remedy="remove it by hand, then run `pipe sweep`"
            ) from error
        journal.end_lease(self.id)


@dataclass(frozen=True)
class Machines:
    """Machines of one cluster of a run."""

    lease: CloudLease
    status: str
    machines: tuple[Machine, ...]
    made: float | None = None
    size: int = 0

    @property
    def kind(self) -> str:
        return self.lease.kind

    @property
    def id(self) -> str:
        return self.lease.id

    @property
    def run(self) -> str:
        return self.lease.run

    @property
    def about(self) -> list[str]:
        return [f"{each.name} ({each.type} {each.id}, {each.state}) in {each.place}" for each in self.machines]

    def remove(self, journal: Journal) -> None:
        remove_all(self.lease.fleet, self.lease.label)
        self.lease.end(journal)


@dataclass(frozen=True)
class SweepResult:
    """What is left, and where nobody could look."""

    leftovers: list[Leftover] = field(default_factory=list)
    unknown: list[tuple[str, SwathError]] = field(default_factory=list)
    """A lease or a place, and why nobody could look there."""


def find(journal: Journal, places: Iterable[Place] = (), run: str | None = None) -> SweepResult:
    """What is left, of all runs or of one. Leases of things that are gone, or were never made, are ended on the way, and scratch
    folders go that workers of killed runs had. In `places` it is also looked for machines that have expired, whoever made them.
    """
    scratch.sweep(journal.folder / "scratch")
    found = SweepResult()
    status = {row.id: row.status for row in journal.runs()}
    leases = journal.leases()
    for row in leases:
        state = status.get(row.run, "unknown")
        if state == "running" or run not in (None, row.run):
            continue
        cloud = CloudLease.of(row)
        if cloud is not None:
            _machines_of(cloud, row, state, journal, found)
        elif Path(row.id).exists():
            found.leftovers.append(PartialOutput(row, state, _size(Path(row.id))))
        else:
            journal.end_lease(row.id)
    if run is None:
        known = {lease.label for row in leases if (lease := CloudLease.of(row)) is not None}
        for place in dict.fromkeys(places):
            _expired_in(place, known, found)
    return found


def _machines_of(lease: CloudLease, row: LeaseRow, status: str, journal: Journal, found: SweepResult) -> None:
    try:
        machines = lease.fleet.machines(lease.label)
    except SwathError as error:
        found.unknown.append((lease.id, error))
        return
    if machines or time.time() - row.created < SETTLED_S:
        found.leftovers.append(Machines(lease, status, tuple(machines), row.created))
    else:
        lease.end(journal)


def _expired_in(place: Place, known: set[str], found: SweepResult) -> None:
    try:
        machines = fleet_of(*place).machines()
    except SwathError as error:
        found.unknown.append((":".join(place), error))
        return
    over = [each for each in machines if each.run not in known and each.expires < time.time()]
    for label in dict.fromkeys(each.run for each in over):
        theirs: Sequence[Machine] = [each for each in over if each.run == label]
        found.leftovers.append(Machines(CloudLease(label, *place, label), EXPIRED, tuple(theirs)))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
