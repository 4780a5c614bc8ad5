"""Where the machines of one cluster may be launched: zones or subnets in an order, spot first. A full one is passed over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FULL_S = 300.0
"""For so long, a placement that had no room is asked only when all others have none either."""


@dataclass(frozen=True)
class Placement:
    """One way to launch a machine."""

    place: str
    """Zone (Google Cloud) or subnet (AWS)."""
    spot: bool


class Placements:
    """The placements of one cluster. From any thread.

    on_demand: whether machines that should be spot ones are launched on demand where no place has room for spot machines.
    """

    def __init__(
        self, places: Sequence[str], *, on_demand: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = tuple(dict.fromkeys(places))
        self._on_demand = on_demand
        self._clock = clock
        self._full_at: dict[Placement, float] = {}
        self._lock = threading.Lock()

    def of(self, *, spot: bool) -> list[Placement]:
        """Placements for a machine, in the order in which they are tried."""
        kinds = (True, False) if spot and self._on_demand else (spot,)
        every = [Placement(place, kind) for kind in kinds for place in self._places]
        with self._lock:
            now = self._clock()
            full = {each for each, at in self._full_at.items() if now - at < FULL_S}
        return [each for each in every if each not in full] or every

    def note_full(self, placement: Placement) -> None:
        """Note that a placement has no room now."""
        with self._lock:
            self._full_at[placement] = self._clock()
