"""A lease: the machines that a run may have made in a cloud, written into the journal before the first of them is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from swath.cluster.machine import KINDS, Fleet, Kind, fleet_of, label
from swath.engine.journal import Journal
from swath.engine.journal import Lease as Row


@dataclass(frozen=True)
class CloudLease:
    """All machines of one run in one place."""

    run: str
    """The run's id."""
    kind: Kind
    place: str
    """The region on AWS, the project on Google Cloud."""

    @property
    def id(self) -> str:
        """As in the journal, such as `aws:eu-central-1:20260301-120000-bahamas-1a2b`."""
        return f"{self.kind}:{self.place}:{self.label}"

    @property
    def label(self) -> str:
        """What its machines are labelled with."""
        return label(self.run)

    @property
    def fleet(self) -> Fleet:
        """Where its machines are listed."""
        return fleet_of(self.kind, self.place)

    @classmethod
    def of(cls, row: Row) -> Self | None:
        """The lease of a row of the journal; None for a lease of something else."""
        kind = next((each for each in KINDS if each == row.kind), None)
        if kind is None:
            return None
        _, _, rest = row.id.partition(":")
        return cls(row.run, kind, rest.rpartition(":")[0])

    def write(self, journal: Journal) -> None:
        """Before the first machine is asked for."""
        journal.write_lease(self.run, self.kind, self.id)

    def end(self, journal: Journal) -> None:
        """When the cloud has listed none of its machines any more."""
        journal.end_lease(self.id)
