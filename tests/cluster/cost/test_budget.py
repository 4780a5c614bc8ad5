"""A budget: the cost of machine-hours, and the stop before it exceeds the budget."""

from __future__ import annotations

import dataclasses
import threading
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.cluster.cost.budget import Budget, budget_enforced, spent_usd
from swath.cluster.cost.prices import ClusterPrices, MachinePrice
from swath.cluster.steady_clock import steady_time
from swath.errors import OverBudget, Stopped
from swath.spec.clusters.prices import RegionPrices

PRICES = ClusterPrices("r", MachinePrice("w", 3.6, 4, 0, spot=True), MachinePrice("s", 0.36, 2, 0), RegionPrices(), "")
"""A worker costs 0.001 USD per second, a scheduler a tenth of it."""


@dataclass(frozen=True)
class Machine:
    role: str
    began: float
    ended: float | None = None
    spot: bool = True
    type: str = "w"
    place: str = "a"


def test_every_machine_is_paid_for_from_its_beginning_to_its_end_a_minute_at_least() -> None:
    machines = [Machine("scheduler", 0), Machine("worker", 100), Machine("worker", 100, 105)]
    assert spent_usd(PRICES, machines, 1100) == pytest.approx(0.11 + 1.0 + 0.06)


def test_a_worker_that_was_launched_on_demand_costs_what_it_costs() -> None:
    others = (MachinePrice("w", 10.8, 4, 0), MachinePrice("v", 7.2, 4, 0, spot=True))
    prices = dataclasses.replace(PRICES, others=others)
    machines = [Machine("worker", 0), Machine("worker", 0, spot=False), Machine("scheduler", 0, spot=False)]
    assert spent_usd(prices, machines, 1000) == pytest.approx(1.0 + 3.0 + 0.1)
    assert spent_usd(prices, [Machine("worker", 0, type="v")], 1000) == pytest.approx(2.0)


@given(
    st.lists(st.tuples(st.sampled_from(["worker", "scheduler"]), st.floats(0, 1e5)), max_size=8), st.floats(0.01, 1e4)
)
def test_a_run_that_is_stopped_in_time_is_within_its_budget_two_minutes_later(
    begun: list[tuple[str, float]], usd: float
) -> None:
    budget, now = Budget(usd, PRICES), 1e5
    machines = [Machine(role, began) for role, began in begun]
    left = budget.left_s(machines, now)
    if machines and left > 0 and all(now - each.began > 60 for each in machines):
        assert spent_usd(budget.prices, machines, now + left + 120) == pytest.approx(usd)
    if not machines:
        assert left == float("inf")


def test_the_run_is_stopped_once_with_a_message_on_its_cost() -> None:
    asked: list[Stopped] = []
    heard = threading.Event()

    def ask(why: Stopped) -> None:
        asked.append(why)
        heard.set()

    machines = [Machine("worker", time.time() - 1000)]
    with budget_enforced(Budget(1.121, PRICES), lambda: machines, ask):  # a second from now, with what ending it costs
        assert heard.wait(10)
    assert len(asked) == 1
    assert isinstance(asked[0], OverBudget)
    assert "USD of its budget of 1.12" in asked[0].message


def test_a_run_within_its_budget_is_not_stopped_and_the_thread_ends_with_it() -> None:
    asked: list[Stopped] = []
    with budget_enforced(Budget(100, PRICES), lambda: [Machine("worker", time.time())], asked.append):
        assert any(thread.name == "budget" for thread in threading.enumerate())
    assert not any(thread.name == "budget" for thread in threading.enumerate())
    assert not asked


def test_a_clock_that_is_set_forward_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = [Machine("worker", steady_time())]
    asked: list[Stopped] = []
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10 * 3600)
    with budget_enforced(Budget(1, PRICES), lambda: machines, asked.append):
        threading.Event().wait(0.3)
    assert asked == []
