"""A lease: the machines that a run may have made in a cloud, written into the journal before the first of them is asked for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Self

from swath.cluster.providers.machine import KINDS, Fleet, Kind, fleet_of, label
from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow as Row


@dataclass(frozen=True)
class CloudLease:
    """All machines of one cluster of a run: a run that is taken up again has another cluster, and another lease."""

    run: str
    """The run's id."""
    kind: Kind
    place: str
    """The region on AWS, the project on Google Cloud."""
    label: str
    """What its machines are labelled with."""

    @classmethod
    def new(cls, run: str, kind: Kind, place: str) -> Self:
        """For a cluster that is about to be made."""
        return cls(run, kind, place, label(f"{run}-{secrets.token_hex(2)}"))

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The lease of a row of the journal; None for a lease of something else."""
        return cls.parse(row.run, row.id) if row.kind in KINDS else None

    @classmethod
    def parse(cls, run: str, identity: str) -> Self:
        """From its id."""
        kind, _, rest = identity.partition(":")
        place, _, name = rest.rpartition(":")
        return cls(run, next(each for each in KINDS if each == kind), place, name)

    @property
    def id(self) -> str:
        """As in the journal, such as `aws:eu-central-1:20260301-120000-bahamas-1a2b-3c4d`."""
        return f"{self.kind}:{self.place}:{self.label}"

    @property
    def fleet(self) -> Fleet:
        """Where its machines are listed."""
        return fleet_of(self.kind, self.place)

    def write(self, journal: Journal) -> None:
        """Before the first machine is asked for."""
        journal.write_lease(self.run, self.kind, self.id)

    def end(self, journal: Journal) -> None:
        """When the cloud has listed none of its machines any more."""
        journal.end_lease(self.id)


def leases_of(journal: Journal, run: str) -> list[CloudLease]:
    """Those of a run that were not ended yet."""
    return [lease for row in journal.leases() if row.run == run and (lease := CloudLease.of(row)) is not None]
