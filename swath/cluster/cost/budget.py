"""A budget: what a run's machines have cost so far, and the stop before that is more than the spec allows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from swath.cluster.cost.estimate import QUICK_S, SPENT_S
from swath.cluster.cost.prices import ClusterPrices
from swath.errors import OverBudget, Stopped

LOOK_EVERY_S = 1.0
"""Between two looks at which machines there are."""


class PaidMachine(Protocol):
    """A machine that is, or was, paid for."""

    @property
    def role(self) -> str:
        """scheduler or worker."""
        ...

    @property
    def began(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def ended(self) -> float | None:
        """Seconds since 1970; None while it is there."""
        ...


@dataclass(frozen=True)
class Budget:
    """What the machines of one cluster may cost. A run that is taken up again has all of it once more."""

    usd: float
    rates: ClusterPrices

    def spent_usd(self, machines: Iterable[PaidMachine], now: float) -> float:
        """What machines have cost until `now`. Clouds bill a minute at least."""
        return sum(
            self.rates.usd_per_hour(each.role)
            * max(QUICK_S, (now if each.ended is None else each.ended) - each.began)
            / 3600
            for each in machines
        )

    def left_s(self, machines: Sequence[PaidMachine], now: float) -> float:
        """Seconds until the run has to stop, if machines stay as they are: what it costs to end them has to be left, too."""
        burning = sum(self.rates.usd_per_hour(each.role) for each in machines if each.ended is None) / 3600
        left = self.usd - self.spent_usd(machines, now) - burning * SPENT_S
        if left <= 0:
            return 0.0
        return left / burning if burning else float("inf")


@contextlib.contextmanager
def held(
    budget: Budget | None, machines: Callable[[], Sequence[PaidMachine]], ask: Callable[[Stopped], None]
) -> Iterator[None]:
    """Inside, the run is asked to stop before its machines cost more than the budget. None is no limit.

    `machines` tells all machines so far, from any thread; `ask` stops the run.
    """
    if budget is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while True:
            now = time.time()
            left_s = budget.left_s(machines(), now)
            if left_s <= 0:
                spent = budget.spent_usd(machines(), now)
                ask(OverBudget(f"the run's machines have cost {spent:.3g} USD of its budget of {budget.usd:g} USD"))
                return
            if over.wait(min(LOOK_EVERY_S, left_s)):
                return

    watching = threading.Thread(target=watch, name="budget", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
