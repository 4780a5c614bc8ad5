"""Faults of a simulated cloud: calls that fail, before or after their effect, and machines that do not boot or work."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Fault:
    """Makes some calls of an action fail."""

    action: str
    """Name of the call, such as RunInstances or instances.insert."""
    code: str
    """The cloud's error code."""
    status: int = 400
    """HTTP status of the response. Client libraries retry after 5xx and some codes: each attempt is another call."""
    message: str = "injected by a test"
    nth: int = 1
    """First call to fail, counted from 1 after the fault was set."""
    times: int = 1
    """Number of failing calls in a row; 0 for every call from then on."""
    when: Literal["before", "after", "later"] = "before"
    """Fail before the call takes effect, after it has, or later in the operation (Compute Engine only)."""


@dataclass(frozen=True)
class Behaviour:
    """How some machines behave."""

    nth: int = 0
    """Number of the machine, counted from 1 after the behaviour was set; 0 for all machines. The scheduler is launched first."""
    boot: Literal["boots", "never"] = "boots"
    """never: it is listed as running, but does not run its user data."""
    boot_delay_s: float = 0.0
    """From the launch until its user data is run."""
    container: Literal["runs", "dies", "hangs", "missing"] = "runs"
    """Of `docker run`: exits at once with code 1, hangs, or finds no image (exit code 125)."""


class Faults:
    """All faults and behaviours, with a count of the calls and machines that they were tested on. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[None]]] = []
        self._behaviours: list[tuple[Behaviour, list[None]]] = []

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._behaviours.clear()

    def set(self, **fields: Any) -> None:
        with self._lock:
            self._faults.append((Fault(**fields), []))

    def set_behaviour(self, **fields: Any) -> None:
        with self._lock:
            self._behaviours.append((Behaviour(**fields), []))

    def of(self, action: str) -> Fault | None:
        """The fault of this call; None for most. Counts the call."""
        found = None
        with self._lock:
            for fault, calls in self._faults:
                if fault.action == action:
                    calls.append(None)
                    if len(calls) >= fault.nth and (not fault.times or len(calls) < fault.nth + fault.times):
                        found = found or fault
        return found

    def behaviour(self) -> Behaviour:
        """The behaviour of a new machine. Counts the machine."""
        found = None
        with self._lock:
            for behaviour, machines in self._behaviours:
                machines.append(None)
                if behaviour.nth in (0, len(machines)):
                    found = found or behaviour
        return found or Behaviour()
