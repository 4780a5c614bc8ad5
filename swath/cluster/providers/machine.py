"""A machine that a run made in a cloud, and a fleet: all such machines of one account and place, as the cloud lists them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Kind: TypeAlias = Literal["aws", "gcp", "kubernetes"]
KINDS: tuple[Kind, ...] = ("aws", "gcp", "kubernetes")

LABEL_LENGTH = 63
"""The shortest limit of all clouds: Compute Engine's."""


def label(run: str) -> str:
    """A run's id as every cloud takes it in a label: lower-case letters, digits, `-` and `_`; its end, when it is too long."""
    return re.sub(r"[^a-z0-9_-]", "-", run.lower())[-LABEL_LENGTH:]


@dataclass(frozen=True)
class Machine:
    """A machine that is still paid for."""

    id: str
    """What the cloud calls it."""
    name: str
    run: str
    """Label of the run that made it."""
    role: str
    """scheduler or worker."""
    expires: float
    """Seconds since 1970 at which nobody needs it any more; 0 when that cannot be read."""
    place: str
    """Region or zone."""
    state: str
    """In the cloud's own word."""
    type: str = ""
    """Machine type."""


class Fleet(Protocol):
    """The machines that swath made in one account and place. Raises CredentialsError when that is not allowed, and
    InfrastructureError when the cloud does not answer."""

    kind: Kind
    place: str
    """The region on AWS, the project on Google Cloud, the namespace on Kubernetes."""

    def machines(self, run: str | None = None) -> list[Machine]:
        """All that are still paid for, stopped ones too; of one run (by its label) or of all runs."""
        ...

    def end(self, machines: Sequence[Machine]) -> None:
        """Have them removed, with their disks. One that is gone already is none to complain about; of several that cannot be
        removed, all others are all the same."""
        ...

    def console(self, machine: Machine, lines: int = 20) -> str:
        """The last lines that it wrote to its console; empty when there are none yet."""
        ...

    def removal(self, machine: Machine) -> str:
        """The cloud's own command that removes it."""
        ...


def fleet_of(kind: Kind, place: str) -> Fleet:
    """The fleet of a region (AWS) or a project (Google Cloud). Raises MissingExtra without the cloud's packages."""
    if kind == "aws":
        from swath.cluster.cloud.aws import Ec2Fleet

        return Ec2Fleet(place)
    if kind == "kubernetes":
        from swath.cluster.kubernetes.pods import KubernetesFleet

        return KubernetesFleet(place)
    from swath.cluster.providers.gce import GceFleet

    return GceFleet(place)


def tail(console: str, lines: int) -> str:
    """The last lines of a console that say something, without the codes that colour them."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console)
    said = ["".join(sign for sign in line if sign.isprintable() or sign == "\t") for line in plain.splitlines()]
    return "\n".join([line.rstrip() for line in said if line.strip()][-lines:])
