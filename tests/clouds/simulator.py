"""All machines of one simulated cloud: booted, watched and ended. None outlives the simulator's process, however it ends."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clouds.call_log import CallLog
from tests.clouds.faults import Faults
from tests.clouds.machine import Machine, block, kill_marked, processes, write_shims
from tests.clouds.metadata import serve_metadata

POLL_S = 0.02


class Simulator:
    """Has the root folder of a simulator: bin/ (commands), machines/ID/ (console, user data, files), calls.jsonl, speed."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        shutil.rmtree(self.root, ignore_errors=True)
        self.folder = self.root / "machines"
        self.folder.mkdir(parents=True)
        write_shims(self.root)
        self._reaper()
        self._held, self.prefix = block()
        self.faults = Faults()
        self.calls = CallLog(self.root)
        self.machines: dict[str, Machine] = {}
        self.metadata = serve_metadata(lambda name: self.machines.get(name))
        self.environment: dict[str, str] = {}
        """Environment of containers: the addresses of the cloud's services."""
        self.lock = threading.RLock()
        self.speed = 1.0

    @property
    def speed(self) -> float:
        """Speed of the clock of machines' time limits: seconds per real second."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        self._speed = value
        fresh = self.root / "speed.new"
        fresh.write_text(str(value))
        fresh.rename(self.root / "speed")

    def add(self, name: str, address: str, user_data: bytes) -> Machine:
        """A machine that will boot."""
        with self.lock:
            environment = {**self.environment, "SWATH_METADATA": f"{self.metadata}/{name}"}
            machine = Machine(name, self.folder / name, address, user_data, self.faults.behaviour(), environment)
            (machine.folder / "user-data").write_bytes(user_data)
            self.machines[name] = machine
        return machine

    def end(self, name: str) -> None:
        """All its processes are gone when this returns."""
        with self.lock:
            machine = self.machines.get(name)
            if machine is not None and not machine.ended:
                machine.end()

    def watch(self, powered_off: Callable[[Machine], None], each_time: Callable[[], None] = lambda: None) -> None:
        """Boot machines when they are due, and call `powered_off` for those that power themselves off, in the background."""

        def look() -> None:
            while True:
                with self.lock:
                    machines = list(self.machines.values())
                for machine in machines:
                    with self.lock:  # a reset must not come between
                        if machine.due:
                            machine.boot()
                        went_off = machine.off and not machine.ended
                        if went_off:
                            machine.end()
                    if went_off:
                        powered_off(machine)
                each_time()
                time.sleep(POLL_S)

        threading.Thread(target=look, daemon=True).start()

    def processes(self) -> int:
        """Number of processes of machines."""
        return len(processes(self.folder))

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Functions of the control address that every cloud has."""

        def machine_of(name: str) -> Machine:
            found = self.machines.get(name) or next(
                (each for each in reversed(self.machines.values()) if each.id.rpartition("-")[0] == name), None
            )
            if found is None:
                raise KeyError(f"no machine {name}")
            return found

        return {
            "calls": self.calls.listed,
            "console": lambda machine: machine_of(machine).console,
            "user_data": lambda machine: machine_of(machine).user_data.decode(),
            "processes": self.processes,
            "fault": self.faults.set,
            "behaviour": self.faults.set_behaviour,
            "clear_faults": self.faults.clear,
            "power_off": lambda machine: machine_of(machine).power_off(),
            "kill_container": lambda machine: machine_of(machine).kill_containers(),
            "speed": lambda times: setattr(self, "speed", float(times)),
        }

    def describe(self, name: str) -> dict[str, Any]:
        """Description of a machine, for the control address."""
        machine = self.machines[name]
        return {
            "id": name,
            "address": machine.address,
            "user_data_bytes": len(machine.user_data),
            "booted": machine.process is not None,
            "ended": machine.ended,
        }

    def reset(self) -> None:
        """Remove all machines, faults and calls, and set the normal speed."""
        with self.lock:
            for machine in self.machines.values():
                if not machine.ended:
                    machine.ended = True
                    if machine.process is not None:
                        machine.process.kill()
            kill_marked(self.folder)
            for machine in self.machines.values():
                if machine.process is not None:
                    machine.process.wait()
            self.machines.clear()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(exist_ok=True)
        self.faults.clear()
        self.calls.reset()
        self.speed = 1.0

    def _reaper(self) -> None:
        """A process that waits for the end of this one, and kills what is left of its machines. Started before any thread."""
        reading, writing = os.pipe()  # not inherited by programs that are started, so only this process holds it open
        if os.fork():
            os.close(reading)
            self._alive = writing
            return
        try:
            os.setsid()
            os.close(writing)
            for standard in (0, 1, 2):
                os.dup2(os.open(os.devnull, os.O_RDWR), standard)
            while os.read(reading, 1):
                continue
            kill_marked(self.root)
        finally:
            os._exit(0)
