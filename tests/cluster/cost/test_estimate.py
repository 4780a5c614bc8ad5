"""Estimates are ranges that contain the cost with any allowed number of workers, and are compared with a budget."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swath.cluster.cost.estimate import (
    Cost,
    Interval,
    Throughput,
    Workload,
    _compare_budget,
    cost_entries,
    estimate_cost,
)
from swath.cluster.cost.prices import ClusterPrices, MachinePrice
from swath.spec.clusters.cloud import AwsCluster
from swath.spec.clusters.prices import RegionPrices
from swath.spec.clusters.workers import Workers

SPEC = AwsCluster(kind="aws", region="eu-central-1", image="x", security_groups=["sg-1"], workers=Workers(min=1, max=4))
PRICES = ClusterPrices(
    "eu-central-1",
    MachinePrice("w", 1.0, 4, 0),
    MachinePrice("s", 0.1, 2, 0),
    RegionPrices(egress_gb=0.09),
    "2025-01-15",
)
THROUGHPUT = Throughput(36.0, "given")


def test_the_work_costs_the_same_on_more_machines_and_takes_less_time() -> None:
    work = Workload(megapixels=4000)  # 36,000 s of a machine with four processes: ten hours
    one = estimate_cost(SPEC.model_copy(update={"workers": Workers(min=1, max=1)}), PRICES, work, THROUGHPUT)
    ten = estimate_cost(SPEC.model_copy(update={"workers": Workers(min=10, max=10)}), PRICES, work, THROUGHPUT)
    assert one.hours.low == pytest.approx(10, abs=0.1)
    assert ten.hours.low == pytest.approx(1, abs=0.1)
    assert one.usd.low == pytest.approx(10 * 1.1, rel=0.02)
    assert ten.usd.low == pytest.approx(10 * 1.0 + 0.1, rel=0.05)


@example(4000, 36, 1, 49, 1, 1, 0.1)
@given(
    st.floats(0, 1e6),
    st.floats(0.01, 100),
    st.integers(1, 50),
    st.integers(1, 50),
    st.floats(0.5, 1),
    st.floats(1, 3),
    st.floats(0, 1),
)
def test_the_cost_of_any_number_of_workers_is_within_the_range(
    megapixels: float, seconds: float, low: int, more: int, least: float, most: float, where: float
) -> None:
    def range_of(fewest: int, most_: int, rate: Throughput) -> tuple[float, float]:
        spec = SPEC.model_copy(update={"workers": Workers(min=fewest, max=most_)})
        found = estimate_cost(spec, PRICES, Workload(megapixels), rate)
        assert found.usd.high is not None
        assert found.hours.high is not None
        assert found.hours.low <= found.hours.high
        return found.usd.low, found.usd.high

    whole = range_of(low, low + more, Throughput(seconds, "", least, most))
    between = low + round(where * more)
    inside = range_of(between, between, Throughput(seconds, ""))
    assert whole[0] <= inside[0] * (1 + 1e-9)
    assert inside[0] <= inside[1]
    assert inside[1] <= whole[1] * (1 + 1e-9)


def test_without_a_rate_there_is_only_a_low_end_and_a_hint_how_to_give_one() -> None:
    found = estimate_cost(SPEC, PRICES, Workload(1000), None)
    assert (found.usd.high, found.hours.high) == (None, None)
    assert found.usd.low > 0
    entries = cost_entries(SPEC, PRICES, Workload(1000), None, 5.0)
    assert "cluster.seconds_per_megapixel" in entries["rate"]
    assert "cannot be compared" in entries["budget"]


@pytest.mark.parametrize(("budget", "text"), [(0.5, "surely exceeded"), (2, "may be exceeded"), (50, "is enough")])
def test_a_budget_is_compared(budget: float, text: str) -> None:
    rate = Throughput(36.0, "measured", 0.5, 2)
    work = Workload(megapixels=400)
    assert text in cost_entries(SPEC, PRICES, work, rate, budget)["budget"]
    assert estimate_cost(SPEC, PRICES, work, rate).surely_exceeds(budget) == (text == "surely exceeded")


def test_a_gpu_has_one_process_and_given_processes_go_before() -> None:
    gpu = ClusterPrices("r", MachinePrice("w", 1.0, 8, 1), PRICES.scheduler, PRICES.place, "")
    one = estimate_cost(SPEC, gpu, Workload(100), THROUGHPUT).hours.high
    assert one is not None
    eight = estimate_cost(SPEC.model_copy(update={"processes": 8}), gpu, Workload(100), THROUGHPUT).hours.high
    assert eight is not None
    assert eight < one


def test_a_run_longer_than_max_hours_has_a_remark() -> None:
    assert "max_hours" in cost_entries(SPEC, PRICES, Workload(1e5), THROUGHPUT, None)["time_limit"]
    assert "time_limit" not in cost_entries(SPEC, PRICES, Workload(1), THROUGHPUT, None)


def test_what_the_map_costs_on_its_way_out_of_the_cloud_is_told() -> None:
    traffic = cost_entries(SPEC, PRICES, Workload(1000, map_bytes=50e9), None, None)["traffic"]
    price = PRICES.place.egress_gb
    assert price
    assert f"reads to publish it, about {50 * price:g} USD" in traffic
    assert "publish" not in cost_entries(SPEC, PRICES, Workload(1000), None, None)["traffic"]


def test_the_range_is_computed_from_boots_work_and_the_price_of_both_roles() -> None:
    """By hand, with 600 s of work of a machine: low with two workers as cheap as can be, high with one that installs Docker first."""
    spec = SPEC.model_copy(update={"workers": Workers(min=1, max=2)})
    work, rate = Workload(megapixels=100), Throughput(24.0, "", 0.5, 2.0)
    found = estimate_cost(spec, PRICES, work, rate)
    assert found.hours.low == pytest.approx((2 * 60 + 300 / 2 + 60) / 3600)
    assert found.hours.high == pytest.approx((2 * 300 + 1200 / 1 + 60) / 3600)
    assert found.usd.low == pytest.approx((1 * (60 + 60) + 300) / 3600 * 1.0 + (120 + 300 + 60) / 3600 * 0.1)
    assert found.usd.high == pytest.approx((2 * (300 + 60) + 1200) / 3600 * 1.0 + (600 + 600 + 60) / 3600 * 0.1)
    own = estimate_cost(spec.model_copy(update={"machine_image": "ami-1"}), PRICES, work, rate)
    assert own.hours.high == pytest.approx((2 * 120 + 1200 + 60) / 3600)


def test_the_dearest_worker_is_the_high_end() -> None:
    dear = dataclasses.replace(PRICES, others=(MachinePrice("w", 3.0, 4, 0),))
    plain, mixed = (estimate_cost(SPEC, each, Workload(100), THROUGHPUT).usd for each in (PRICES, dear))
    assert plain.high is not None
    assert mixed.high is not None
    assert mixed.low == plain.low
    assert 2.5 < mixed.high / plain.high < 3


def test_free_machines_cost_nothing_with_any_number_of_workers() -> None:
    free = dataclasses.replace(PRICES, worker=MachinePrice("w", 0.0, 4, 0), scheduler=MachinePrice("s", 0.0, 2, 0))
    found = estimate_cost(SPEC, free, Workload(100), THROUGHPUT).usd
    assert (found.low, found.high) == (0.0, 0.0)


PLACE = RegionPrices(
    disk_gb_month=0.1, storage_gb_month=0.02, other_region_gb=0.01, egress_gb=0.09, reads_1000=0.0004, writes_1000=0.005
)


def entries(place: RegionPrices = PLACE, budget: float | None = None, **work: float) -> dict[str, Any]:
    prices = dataclasses.replace(PRICES, place=place)
    return cost_entries(SPEC, prices, Workload(**work), THROUGHPUT, budget)


def test_all_that_has_a_price_is_in_the_plan() -> None:
    found = entries(megapixels=1000, map_bytes=50e9, read_bytes=2e12, ground_km2=10_000)
    assert found["storage_usd_month"] == 1.0
    cost = estimate_cost(SPEC, PRICES, Workload(1000), THROUGHPUT).usd
    assert found["cost_usd_per_1000_km2"] == cost.scaled(0.1).rounded
    assert found["boot_minutes"] == 5
    assert found["disks"].endswith("GB each, in the price")
    assert found["traffic"] == (
        "within the region free; to or from another region 0.01 USD per GB; to the internet 0.09 USD per GB; so imagery in another"
        " region at most 20 USD; so the map, which a client outside the cloud reads to publish it, about 4.5 USD; 1000 reads of a"
        " bucket 0.0004 USD, 1000 writes 0.005 USD"
    )
    assert "budget" not in found


def test_what_has_no_price_is_left_out() -> None:
    found = entries(RegionPrices(reads_1000=0.1), map_bytes=50e9, read_bytes=2e12)
    assert found["traffic"] == "within the region free"
    assert not {"storage_usd_month", "cost_usd_per_1000_km2"} & found.keys()
    assert "is not known and left out" in found["disks"]
    assert "storage_usd_month" not in entries(megapixels=10)
    assert "imagery" not in entries(megapixels=10)["traffic"]


def test_workers_and_processes_are_told_in_words() -> None:
    one = SPEC.model_copy(update={"workers": Workers(min=2, max=2), "processes": 1, "spot": True})
    prices = dataclasses.replace(PRICES, others=(MachinePrice("w", 3.0, 4, 0),))
    spot = dataclasses.replace(prices, worker=MachinePrice("w", 1.0, 4, 0, spot=True))
    told = cost_entries(one, spot, Workload(), None, None)
    assert told["workers"] == "2 x w spot, 1 process, 1 USD per hour each"
    assert told["without_room"] == "w on demand, 1 process, 3 USD per hour"
    assert cost_entries(SPEC, PRICES, Workload(), None, None)["workers"].startswith("1 to 4 x w, 4 processes, 1 USD")
    unknown = dataclasses.replace(PRICES, worker=MachinePrice("w", 1.0, None, 0))
    assert "processes not known" in cost_entries(SPEC, unknown, Workload(), None, None)["workers"]
    assert estimate_cost(SPEC, unknown, Workload(10), THROUGHPUT).usd.high is None
    assert (
        cost_entries(SPEC.model_copy(update={"machine_image": "a"}), PRICES, Workload(), None, 1.0)["boot_minutes"] == 2
    )


def test_a_budget_is_exceeded_only_above_it() -> None:
    cost = Cost(Interval(1, 1), Interval(2.0, 5.0))
    assert [cost.surely_exceeds(budget) for budget in (None, 1.9, 2.0)] == [False, True, False]
    assert _compare_budget(cost, 5.0) == "is enough"
    assert "may be exceeded" in _compare_budget(cost, 4.9)
    assert Interval(1.0, None).scaled(2) == Interval(2.0, None)
    assert Interval(1.23456, None).rounded[1] is None


def test_the_range_has_all_kinds_of_machines_that_a_run_may_get_and_the_plan_names_them() -> None:
    dear = MachinePrice("v", 3.0, 2, 0)
    prices = dataclasses.replace(PRICES, others=(dear,))
    work = Workload(megapixels=4000)
    first, other, both = (
        estimate_cost(SPEC, each, work, THROUGHPUT)
        for each in (PRICES, dataclasses.replace(PRICES, worker=dear), prices)
    )
    assert (both.usd.low, both.usd.high) == (first.usd.low, other.usd.high)
    assert both.hours.high == other.hours.high
    entries = cost_entries(SPEC, prices, work, THROUGHPUT, None)
    assert entries["workers"] == "1 to 4 x w, 4 processes, 1 USD per hour each"
    assert entries["without_room"] == "v, 2 processes, 3 USD per hour"
