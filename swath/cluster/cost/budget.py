"""Budget of a run: what its machines have cost so far. The run is stopped before that exceeds what the spec allows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from swath.cluster.cost.estimate import MIN_BILLED_S, TEARDOWN_S
from swath.cluster.cost.prices import ClusterPrices
from swath.cluster.steady_clock import steady_time
from swath.errors import OverBudget, Stopped

POLL_S = 1.0
"""At most, between two sums of the cost."""


class PaidMachine(Protocol):
    """A machine that is or was paid for."""

    @property
    def role(self) -> str:
        """scheduler or worker."""
        ...

    @property
    def type(self) -> str:
        """Machine type."""
        ...

    @property
    def spot(self) -> bool: ...

    @property
    def place(self) -> str:
        """Zone."""
        ...

    @property
    def began(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def ended(self) -> float | None:
        """Seconds since 1970; None while it runs."""
        ...


def _usd_per_hour(prices: ClusterPrices, machine: PaidMachine) -> float:
    return prices.usd_per_hour(machine.role, machine.type, spot=machine.spot, place=machine.place)


def spent_usd(prices: ClusterPrices, machines: Iterable[PaidMachine], now: float) -> float:
    """Cost of machines until `now`, in USD. Clouds bill a minute at least."""
    return sum(
        _usd_per_hour(prices, each) * max(MIN_BILLED_S, (now if each.ended is None else each.ended) - each.began) / 3600
        for each in machines
    )


@dataclass(frozen=True)
class Budget:
    """What the machines of one cluster may cost. A resumed run has the whole budget again."""

    usd: float
    prices: ClusterPrices

    def left_s(self, machines: Sequence[PaidMachine], now: float) -> float:
        """Seconds until the run has to stop if no machine starts or ends: the cost of terminating them is set aside."""
        usd_per_s = sum(_usd_per_hour(self.prices, each) for each in machines if each.ended is None) / 3600
        left = self.usd - spent_usd(self.prices, machines, now) - usd_per_s * TEARDOWN_S
        if left <= 0:
            return 0.0
        return left / usd_per_s if usd_per_s else float("inf")


@contextlib.contextmanager
def budget_enforced(
    budget: Budget | None, machines: Callable[[], Sequence[PaidMachine]], stop: Callable[[Stopped], None]
) -> Iterator[None]:
    """During the body, stop the run before its machines cost more than the budget. None is no limit.

    `machines` returns all machines so far, `stop` stops the run; both are called from another thread.
    """
    if budget is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while True:
            now = steady_time()
            left_s = budget.left_s(machines(), now)
            if left_s <= 0:
                spent = spent_usd(budget.prices, machines(), now)
                stop(OverBudget(f"the run's machines have cost {spent:.3g} USD of its budget of {budget.usd:g} USD"))
                return
            if ended.wait(min(POLL_S, left_s)):
                return

    thread = threading.Thread(target=watch, name="budget", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
