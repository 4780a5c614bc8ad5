"""A lease: the machines that a run may have in a cloud, written to the journal before the first of them is launched."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Self

from swath.cluster.providers.machine import CLOUD_KINDS, CloudKind, run_label
from swath.engine.journal import Journal
from swath.engine.journal_rows import LeaseRow


@dataclass(frozen=True)
class CloudLease:
    """All machines of one cluster of a run. A resumed run has another cluster, and another lease."""

    run: str
    """Id of the run."""
    kind: CloudKind
    place: str
    """The region on AWS, the project on Google Cloud, the namespace on Kubernetes."""
    label: str
    """Label of its machines."""

    @classmethod
    def new(cls, run: str, kind: CloudKind, place: str) -> Self:
        """A lease with a label of its own."""
        return cls(run, kind, place, run_label(f"{run}-{secrets.token_hex(2)}"))

    @classmethod
    def from_row(cls, row: LeaseRow) -> Self | None:
        """The lease of a row of the journal; None when it is not one of machines, or not one that `new` gives to its run."""
        if row.kind not in CLOUD_KINDS or not row.id.startswith(f"{row.kind}:"):
            return None
        lease = cls.parse(row.run, row.id)
        return lease if lease.belongs else None

    @classmethod
    def parse(cls, run: str, lease_id: str) -> Self:
        """The lease of a run with an id."""
        kind, _, rest = lease_id.partition(":")
        place, _, label = rest.rpartition(":")
        return cls(run, next(each for each in CLOUD_KINDS if each == kind), place, label)

    @property
    def belongs(self) -> bool:
        """Whether the label is one of the run: a journal that was changed may name another run's, or none, which means all."""
        number = self.label[-4:]
        return (
            bool(self.run and self.place)
            and re.fullmatch(r"[0-9a-f]{4}", number) is not None
            and self.label == run_label(f"{self.run}-{number}")
        )

    @property
    def id(self) -> str:
        """As in the journal, such as `aws:eu-central-1:20260301-120000-bahamas-1a2b-3c4d`."""
        return f"{self.kind}:{self.place}:{self.label}"

    def write(self, journal: Journal) -> None:
        """Write it, before the first machine is launched."""
        journal.write_lease(self.run, self.kind, self.id)

    def end(self, journal: Journal) -> None:
        """End it, when the cloud lists none of its machines any more."""
        journal.end_lease(self.id)


def open_leases(journal: Journal, run: str) -> list[CloudLease]:
    """The leases of machines of a run that have not ended."""
    return [lease for row in journal.leases() if row.run == run and (lease := CloudLease.from_row(row)) is not None]
