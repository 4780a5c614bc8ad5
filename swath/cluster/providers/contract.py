"""The contracts of a cloud: a fleet lists and terminates machines, a provider launches them for one cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from swath.cluster.providers.machine import CloudKind, Machine
from swath.errors import SwathError


class Fleet(Protocol):
    """All machines that swath created in one account and place.

    Calls block and may come from any thread. They raise CredentialsError when something is not allowed, and
    InfrastructureError when the cloud does not answer.
    """

    kind: CloudKind
    place: str
    """The region on AWS, the project on Google Cloud, the namespace on Kubernetes."""

    def machines(self, run: str | None = None) -> list[Machine]:
        """All that are still paid for, stopped ones too: of one run (by its label), or of all runs."""
        ...

    def terminate(self, machines: Sequence[Machine]) -> None:
        """Terminate machines and delete their disks.

        A machine that does not exist any more is no error. When one cannot be terminated, the others still are, before
        the error is raised.
        """
        ...

    def console(self, machine: Machine, lines: int = 20) -> str:
        """The last lines of a machine's console output; empty when there is none yet."""
        ...

    def removal_command(self, machine: Machine) -> str:
        """The command of the cloud's own command line tool that terminates a machine."""
        ...


@dataclass(frozen=True)
class LaunchRequest:
    """A machine to be launched."""

    name: str
    """Unique: never used before."""
    role: str
    """`scheduler` or `worker`."""
    type: str
    """Machine type."""
    spot: bool
    label: str
    """Label of the run."""
    expires: float
    """Seconds since 1970."""
    user_data: str
    """Document of cloud-init."""
    other_types: tuple[str, ...] = ()
    """Machine types that are tried, in this order, when there is no room for the first."""


@dataclass(frozen=True)
class MachineStatus:
    """State and addresses of a machine."""

    state: str
    """As the cloud reports it; empty when the machine is not listed (yet)."""
    ended: bool = False
    """Whether it has stopped computing, or is about to."""
    private_ip: str = ""
    """Address in its network; empty while it has none."""
    public_ip: str = ""
    """Address on the internet; empty while it has none."""
    error: SwathError | None = None
    """Why it ended, when the cloud gives a reason."""


class MachineProvider(Protocol):
    """Launches the machines of one cluster.

    Calls block and may come from any thread. They raise CredentialsError and InfrastructureError.
    """

    fleet: Fleet
    gpus: bool
    """Whether workers have GPUs."""
    power_off_terminates: bool
    """Whether a machine that powers itself off is terminated (AWS). On Compute Engine it is only stopped, and its disk is
    still paid for."""

    def launch(self, request: LaunchRequest) -> Machine:
        """Launch a machine. Returns as soon as the cloud has accepted the request. Raises NoCapacity when no place has room for it."""
        ...

    def status(self, machine: Machine) -> MachineStatus:
        """State of a machine. One that is not listed (yet) counts as not ended, and its state is empty."""
        ...
