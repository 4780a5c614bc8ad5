"""A cloud in memory: its machines run from their launch to their termination."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from swath.cluster.providers.contract import Fleet, LaunchRequest, MachineProvider, MachineStatus
from swath.cluster.providers.machine import CloudKind, Machine
from swath.errors import InfrastructureError


@dataclass
class MemoryCloud:
    """Fleet and provider at once."""

    listed: dict[str, Machine] = field(default_factory=dict)
    """Machines by id."""
    open: threading.Event = field(default_factory=threading.Event)
    """Launches wait for it."""
    asked: threading.Event = field(default_factory=threading.Event)
    """A launch was asked for."""
    refusing: bool = False
    """Whether terminations fail."""
    kind: CloudKind = "aws"
    place: str = "nowhere-1"
    gpus: bool = False
    power_off_terminates: bool = True

    fleet: Fleet = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.open.set()
        self.fleet = self

    def launch(self, request: LaunchRequest) -> Machine:
        self.asked.set()
        assert self.open.wait(20)
        name, place = request.name, self.place
        machine = Machine(
            f"i-{name}",
            name,
            request.label,
            request.role,
            request.expires,
            place,
            "running",
            request.type,
            spot=request.spot,
        )
        self.listed[machine.id] = machine
        return machine

    def status(self, machine: Machine) -> MachineStatus:
        return MachineStatus("running" if machine.id in self.listed else "", private_ip="10.0.0.1", public_ip="1.2.3.4")

    def machines(self, run: str | None = None) -> list[Machine]:
        return [each for each in self.listed.values() if run in (None, each.run)]

    def terminate(self, machines: Sequence[Machine]) -> None:
        if self.refusing:
            raise InfrastructureError("no machine is terminated now")
        for each in machines:
            self.listed.pop(each.id, None)

    def console(self, machine: Machine, lines: int = 20) -> str:
        return ""

    def removal_command(self, machine: Machine) -> str:
        return f"remove {machine.id}"


_: type[MachineProvider] = MemoryCloud
