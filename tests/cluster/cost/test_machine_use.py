"""The machines of a run are told by kind and zone, with their hours and what they cost."""

from __future__ import annotations

import dataclasses

from swath.cluster.cost.machine_use import machine_uses, total_usd, where
from tests.cluster.cost.test_budget import PRICES, Machine

MACHINES = [
    Machine("scheduler", 0.0, spot=False, type="s"),
    Machine("worker", 0.0, 3600.0),
    Machine("worker", 1800.0),
    Machine("worker", 0.0, 1.0, place="b"),
]


def test_machines_are_told_by_kind_and_zone_with_what_they_cost() -> None:
    uses = machine_uses(MACHINES, PRICES, 3600.0)
    assert [str(each) for each in uses] == [
        "scheduler 1 x s in a (1 h, 0.36 USD)",
        "worker 2 x w spot in a (1.5 h, 5.4 USD)",
        "worker 1 x w spot in b (0.000278 h, 0.06 USD)",
    ]
    assert total_usd(uses) == 0.36 + 5.4 + 0.06
    assert where(MACHINES) == "scheduler 1 x s in a; worker 2 x w spot in a; worker 1 x w spot in b"


def test_without_prices_there_is_no_cost() -> None:
    uses = machine_uses(MACHINES, None, 3600.0)
    assert str(uses[0]) == "scheduler 1 x s in a (1 h)"
    assert total_usd(uses) is None
    assert total_usd([]) is None
    assert total_usd([dataclasses.replace(uses[0], usd=1.0), uses[1]]) is None
