"""What a simulated cloud is told to do wrong: calls that fail, before or after their effect, and machines with a fate."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Fault:
    """Makes some calls of an action fail."""

    action: str
    """As the log of calls names it: RunInstances, instances.insert."""
    code: str
    """The cloud's own word for the error."""
    status: int = 400
    """Of the HTTP answer. Client libraries ask again after 5xx and some codes: each time it is another call."""
    message: str = "injected by a test"
    nth: int = 1
    """First call to fail, counted from 1 after the fault was set."""
    times: int = 1
    """So many calls in a row; 0 is every call from then on."""
    when: Literal["before", "after", "later"] = "before"
    """Fail before the call takes effect; after it has; or say yes and fail later, in the operation (Compute Engine only)."""


@dataclass(frozen=True)
class Fate:
    """What becomes of some machines."""

    nth: int = 0
    """The machine made so many machines after the fate was set, counted from 1; 0 is all of them. Schedulers come first."""
    boot: Literal["boots", "never"] = "boots"
    """never: it is listed as running, and nothing of its user data is run."""
    boot_delay_s: float = 0.0
    """From the create call until its user data is run."""
    container: Literal["runs", "dies", "hangs", "missing"] = "runs"
    """What becomes of `docker run`: dies at once with exit code 1, never does anything, or has no image (exit code 125)."""


class Faults:
    """All that was set, and how often it was asked for. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, list[None]]] = []
        self._fates: list[tuple[Fate, list[None]]] = []

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()
            self._fates.clear()

    def set(self, **fields: Any) -> None:
        with self._lock:
            self._faults.append((Fault(**fields), []))

    def set_fate(self, **fields: Any) -> None:
        with self._lock:
            self._fates.append((Fate(**fields), []))

    def of(self, action: str) -> Fault | None:
        """The fault of this call, which is counted."""
        found = None
        with self._lock:
            for fault, calls in self._faults:
                if fault.action == action:
                    calls.append(None)
                    if len(calls) >= fault.nth and (not fault.times or len(calls) < fault.nth + fault.times):
                        found = found or fault
        return found

    def fate(self) -> Fate:
        """The fate of this machine, which is counted."""
        found = None
        with self._lock:
            for fate, machines in self._fates:
                machines.append(None)
                if fate.nth in (0, len(machines)):
                    found = found or fate
        return found or Fate()
