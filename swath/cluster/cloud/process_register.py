"""The worker processes at the scheduler, by machine. What an event costs does not depend on how many machines there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def machine_of(process: object) -> str:
    """The machine of a worker process, by the process's name."""
    return str(process).rpartition("-")[0]


class ProcessRegister:
    """Follows the scheduler's messages about workers that join and leave."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        """Address of a process -> its name."""
        self._of_machine: dict[str, dict[str, str]] = {}
        """Machine -> (address -> name) of its processes; machines without one are left out."""
        self._resources: dict[str, Mapping[str, float]] = {}
        """By their text: different resources of all workers that there have been."""

    @property
    def resources(self) -> tuple[Mapping[str, float], ...]:
        """Different resources of all workers that there have been."""
        return tuple(self._resources.values())

    def of(self, machine: str) -> list[str]:
        """Names of a machine's processes."""
        return list(self._of_machine.get(machine, {}).values())

    def count(self, machine: str) -> int:
        """How many processes of a machine are at the scheduler."""
        return len(self._of_machine.get(machine, ()))

    def add(self, workers: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Note workers, by address, as the scheduler describes them. Returns their machines."""
        machines = set()
        for address, worker in workers.items():
            self.remove(address)  # another process may have had the address before
            machine = machine_of(worker["name"])
            machines.add(machine)
            self._names[address] = str(worker["name"])
            self._of_machine.setdefault(machine, {})[address] = str(worker["name"])
            if resources := worker.get("resources"):
                self._resources.setdefault(json.dumps(resources, sort_keys=True), resources)
        return machines

    def remove(self, address: str) -> None:
        """Note that a worker has left, if it was there."""
        name = self._names.pop(address, None)
        if name is None:
            return
        processes = self._of_machine[machine_of(name)]
        del processes[address]
        if not processes:
            del self._of_machine[machine_of(name)]

    def replace(self, workers: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Note all workers, after a new connection to the scheduler. Returns their machines."""
        self._names.clear()
        self._of_machine.clear()
        return self.add(workers)
