"""What crashed runs left: found through the leases in the journal, and removed.

A lease is written before a thing is created and ended when it is confirmed gone, so whatever is left has one. Machines are also
found without a lease: each has its expiry in a label, so any computer with the account's credentials can remove expired ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from swath.cluster.local import scratch
from swath.cluster.local.socket_folder import sweep_socket_folders
from swath.cluster.providers.fleets import fleet_of
from swath.cluster.providers.machine import CLOUD_KINDS, CloudKind, Machine
from swath.cluster.teardown.bucket_output import BUCKET, BucketOutput, find_in_bucket, target_of
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.partial_output import (
    PartialOutput,
    RefusedLease,
    exists,
    folder_size,
    printable,
    why_not_removed,
)
from swath.cluster.teardown.removal import remove_all
from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow
from swath.errors import SwathError
from swath.storage.bucket_lock import BucketLockLimits

_LIMITS = BucketLockLimits()

EXPIRED = "expired"
"""In place of the status of a run that is not in this journal."""
LISTED_AFTER_S = 60.0
"""So long after its lease was written, a machine that was launched is listed for certain."""

Place = tuple[CloudKind, str]
"""A cloud, and its region (AWS), project (Google Cloud) or namespace (Kubernetes)."""


class Leftover(Protocol):
    """Something that is left of a run that has ended."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str:
        """A path, or the id of a lease of machines."""
        ...

    @property
    def run(self) -> str: ...
    @property
    def status(self) -> str:
        """Status of the run."""
        ...

    @property
    def leased_at(self) -> float | None:
        """When its lease was written, in seconds since 1970; None when the lease is in another journal."""
        ...

    @property
    def size(self) -> int:
        """Bytes of unfinished files."""
        ...

    @property
    def lines(self) -> list[str]:
        """Description, one line for each thing."""
        ...

    def remove(self, journal: Journal) -> None:
        """Remove it and end its lease. Raises TeardownError when it cannot be removed."""
        ...


@dataclass(frozen=True)
class LeftMachines:
    """Machines of one cluster of a run."""

    lease: CloudLease
    status: str
    machines: tuple[Machine, ...]
    leased_at: float | None = None
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
    def lines(self) -> list[str]:
        return [f"{each.name} ({each.type} {each.id}, {each.state}) in {each.place}" for each in self.machines]

    def remove(self, journal: Journal) -> None:
        remove_all(fleet_of(self.lease.kind, self.lease.place), self.lease.label)
        self.lease.end(journal)


@dataclass(frozen=True)
class SweepResult:
    """What is left, and where that could not be determined."""

    leftovers: list[Leftover] = field(default_factory=list)
    unknown: list[tuple[str, SwathError]] = field(default_factory=list)
    """(lease or place, why it could not be searched)."""
    notes: list[str] = field(default_factory=list)
    """What is not listed because it may be in use."""


def find_leftovers(
    journal: Journal, places: Iterable[Place] = (), run: str | None = None, limits: BucketLockLimits = _LIMITS
) -> SweepResult:
    """What is left of all runs, or of one.

    A lease of a path that is not a staging folder of its run, or of machines without its run's label, is listed as well, and its
    `remove` raises: the journal may be somebody else's. Also ends the leases of what does not exist, and removes scratch folders
    and sockets of killed runs. In `places`, expired machines are found whoever launched them. `limits` are of locks in buckets.
    """
    scratch.sweep(journal.folder / "scratch")
    sweep_socket_folders()
    result = SweepResult()
    status_of_run = {row.id: row.status for row in journal.runs()}
    other_runs = frozenset(status_of_run)
    leases = journal.leases()
    for row in leases:
        status = status_of_run.get(row.run, "unknown")
        if status == "running" or run not in (None, row.run):
            continue
        cloud = CloudLease.from_row(row)
        if cloud is not None:
            _add_machines(cloud, row, status, journal, result)
        elif row.kind in CLOUD_KINDS:
            reason = f"not a lease of machines of run {printable(row.run)}"
            result.leftovers.append(RefusedLease(row, status, reason))
        elif row.kind == BUCKET:
            _add_bucket_output(row, status, journal, result, limits)
        elif exists(row.id):
            reason = why_not_removed(row.id, row.run, other_runs)
            if reason:
                result.leftovers.append(RefusedLease(row, status, reason))
            else:
                result.leftovers.append(PartialOutput(row, status, folder_size(Path(row.id)), other_runs))
        else:
            journal.end_lease(row.id)
    if run is None:
        known = {lease.label for row in leases if (lease := CloudLease.from_row(row)) is not None}
        for place in dict.fromkeys(places):
            _add_expired(place, known, result)
    return result


def _add_machines(lease: CloudLease, row: LeaseRow, status: str, journal: Journal, result: SweepResult) -> None:
    try:
        machines = fleet_of(lease.kind, lease.place).machines(lease.label)
    except SwathError as error:
        result.unknown.append((lease.id, error))
        return
    if machines or time.time() - row.created < LISTED_AFTER_S:
        result.leftovers.append(LeftMachines(lease, status, tuple(machines), row.created))
    else:
        lease.end(journal)


def _add_bucket_output(
    row: LeaseRow, status: str, journal: Journal, result: SweepResult, limits: BucketLockLimits
) -> None:
    if not target_of(row):
        result.leftovers.append(RefusedLease(row, status, f"not an output of run {printable(row.run)}"))
        return
    try:
        found = find_in_bucket(row, status, limits)
    except SwathError as error:
        result.unknown.append((printable(row.id), error))
        return
    match found:
        case BucketOutput():
            result.leftovers.append(found)
        case None:
            journal.end_lease(row.id)
        case note:
            result.notes.append(note)


def _add_expired(place: Place, known: set[str], result: SweepResult) -> None:
    """Add machines in a place that have expired and whose run is not in the journal."""
    try:
        machines = fleet_of(*place).machines()
    except SwathError as error:
        result.unknown.append((":".join(place), error))
        return
    expired = [each for each in machines if each.run and each.run not in known and each.expires < time.time()]
    for label in dict.fromkeys(each.run for each in expired):
        of_run: Sequence[Machine] = [each for each in expired if each.run == label]
        result.leftovers.append(LeftMachines(CloudLease(label, *place, label), EXPIRED, tuple(of_run)))
