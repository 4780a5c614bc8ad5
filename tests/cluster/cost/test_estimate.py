"""Estimates are ranges that contain the cost with any allowed number of workers, and are compared with a budget."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swath.cluster.cost.estimate import Throughput, Workload, cost_entries, estimate_cost
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
