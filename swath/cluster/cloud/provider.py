"""What a cloud has to do for a cluster: make machines, and tell how they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from swath.cluster.providers.machine import Fleet, Machine
from swath.errors import SwathError


@dataclass(frozen=True)
class LaunchRequest:
    """A machine that is to be made."""

    name: str
    """Never used before."""
    role: str
    """scheduler or worker."""
    type: str
    """Machine type."""
    spot: bool
    label: str
    """Label of the run."""
    expires: float
    """Seconds since 1970."""
    user_data: str


@dataclass(frozen=True)
class MachineStatus:
    """How a machine is."""

    state: str
    """In the cloud's own word."""
    over: bool = False
    """Whether it has ended, or is about to."""
    private: str = ""
    """Its address in its network; empty while it has none."""
    public: str = ""
    """Its address on the internet; empty while it has none."""
    why: SwathError | None = None
    """What the cloud says of its end."""


@dataclass(frozen=True)
class CreatedMachine:
    """A machine that was made, for the accountant of costs."""

    name: str
    type: str
    role: str
    spot: bool
    began: float
    """Seconds since 1970."""
    ended: float | None = None


class MachineProvider(Protocol):
    """What makes the machines of one cluster. Its calls block and come from any thread; they raise CredentialsError and
    InfrastructureError."""

    fleet: Fleet
    gpus: bool
    """Whether workers have GPUs."""
    powers_off: bool
    """Whether a machine that powers itself off is gone (AWS); otherwise the cloud has to end it (Compute Engine)."""

    def make(self, order: LaunchRequest) -> Machine:
        """Ask for a machine, until the cloud has said that it is coming."""
        ...

    def look(self, machine: Machine) -> MachineStatus:
        """How a machine is. One that is not listed (yet) is not over; its state is empty."""
        ...
