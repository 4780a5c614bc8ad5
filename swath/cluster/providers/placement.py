"""Where and as what the machines of one cluster may be launched: machine types and zones in an order, spot first. What has no room is
passed over for some minutes, and a machine for which nothing has room ends in one error that tells what was tried."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from swath.cluster.providers.contract import LaunchRequest
from swath.cluster.providers.machine import Machine
from swath.errors import InfrastructureError

FULL_S = 300.0
"""For so long, a placement that had no room is asked only when all others have none either."""
MAX_TRIES = 24
"""Placements that are asked for one machine."""
TRYING_S = 240.0
"""After so long no further one is asked: a cloud may say only after a while that it has no room."""


@dataclass(frozen=True)
class Placement:
    """One way to launch a machine."""

    place: str
    """Zone (Google Cloud) or subnet (AWS)."""
    spot: bool
    type: str
    """Machine type."""

    def __str__(self) -> str:
        return f"{self.type}{' spot' if self.spot else ''} in {self.place}"


@dataclass(frozen=True)
class PlacementFull:
    """A cloud's answer that a placement has no room."""

    error: InfrastructureError
    no_spot: bool = False
    """Whether no other place has room for spot machines either."""


class NoCapacity(InfrastructureError):
    """The cloud has no such machine now, in none of the places that were asked. A quota that is used up is another error."""


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

    def of(self, *types: str, spot: bool) -> list[Placement]:
        """Placements for a machine of one of these types, in the order in which they are tried."""
        kinds = (True, False) if spot and self._on_demand else (spot,)
        every = [Placement(place, kind, type_) for kind in kinds for type_ in types for place in self._places]
        with self._lock:
            now = self._clock()
            full = {each for each, at in self._full_at.items() if now - at < FULL_S}
        return ([each for each in every if each not in full] or every)[:MAX_TRIES]

    def note_full(self, placement: Placement) -> None:
        """Note that a placement has no room now."""
        with self._lock:
            self._full_at[placement] = self._clock()

    def launch(
        self, request: LaunchRequest, attempt: Callable[[LaunchRequest, Placement], Machine | PlacementFull]
    ) -> Machine:
        """Launch a machine in the first placement that has room. `attempt` launches it in one.

        Raises NoCapacity when none has any, and what `attempt` raises, such as the error that a quota is used up.
        """
        refused: dict[Placement, PlacementFull] = {}
        began = self._clock()
        for option in self.of(request.type, *request.other_types, spot=request.spot):
            if option.spot and any(each.no_spot for each in refused.values()):
                continue
            if refused and self._clock() - began > TRYING_S:
                break
            answer = attempt(dataclasses.replace(request, type=option.type, spot=option.spot), option)
            if isinstance(answer, Machine):
                return answer
            self.note_full(option)
            refused[option] = answer
        raise no_room(request.role, refused)


def no_room(role: str, refused: dict[Placement, PlacementFull]) -> NoCapacity:
    """The error of a machine for which these placements had no room."""
    tried, last = list(refused), list(refused.values())[-1].error
    if len(tried) == 1:
        return NoCapacity(last.message, remedy=last.remedy)
    kinds = dict.fromkeys((each.type, each.spot) for each in tried)
    asked = [
        str(Placement(", ".join(each.place for each in tried if (each.type, each.spot) == kind), kind[1], kind[0]))
        for kind in kinds
    ]
    return NoCapacity(
        f"no room for a {role} machine as {'; as '.join(asked)}; the last answer: {last.message}", remedy=last.remedy
    )
