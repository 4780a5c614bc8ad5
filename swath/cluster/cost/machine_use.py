"""The machines that a run has had: where they came up, as what, for how long, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swath.cluster.cost.budget import PaidMachine, spent_usd
from swath.cluster.cost.prices import ClusterPrices


@dataclass(frozen=True)
class MachineUse:
    """Machines of one kind in one zone."""

    role: str
    type: str
    spot: bool
    place: str
    """Zone."""
    count: int
    hours: float
    """Of all of them together."""
    usd: float | None
    """At list prices; None where a price is not known."""

    def __str__(self) -> str:
        kind = f"{self.count} x {self.type}{' spot' if self.spot else ''}"
        cost = f", {self.usd:.3g} USD" if self.usd is not None else ""
        return f"{self.role} {kind} in {self.place} ({self.hours:.3g} h{cost})"


def machine_uses(machines: Iterable[PaidMachine], prices: ClusterPrices | None, now: float) -> list[MachineUse]:
    """The use of machines until `now` (seconds since 1970), in the order of their first launch."""
    groups: dict[tuple[str, str, bool, str], list[PaidMachine]] = {}
    for each in machines:
        groups.setdefault((each.role, each.type, each.spot, each.place), []).append(each)
    return [
        MachineUse(
            *kind,
            count=len(group),
            hours=sum((now if each.ended is None else each.ended) - each.began for each in group) / 3600,
            usd=None if prices is None else spent_usd(prices, group, now),
        )
        for kind, group in groups.items()
    ]


def total_usd(uses: Sequence[MachineUse]) -> float | None:
    """What all together cost; None where there are none, or a price is not known."""
    known = [each.usd for each in uses if each.usd is not None]
    return sum(known) if uses and len(known) == len(uses) else None


def where(machines: Iterable[PaidMachine]) -> str:
    """Where machines came up, in one line."""
    uses = machine_uses(machines, None, 0.0)
    return "; ".join(
        f"{each.role} {each.count} x {each.type}{' spot' if each.spot else ''} in {each.place}" for each in uses
    )
