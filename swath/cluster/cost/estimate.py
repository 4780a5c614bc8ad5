"""Estimate of hours and cost of a run on machines in a cloud. Every result is a range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from swath.cluster.cost.prices import ClusterPrices, MachinePrice, processes_of
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.units import rounded

MIN_BILLED_S = 60.0
"""Clouds bill a machine for a minute at least, and none is up sooner."""
BOOT_S = 120.0
"""Until a machine computes whose machine image has Docker; the container image is pulled."""
INSTALL_BOOT_S = 300.0
"""The same with a plain Ubuntu, on which Docker is installed first."""
CLOSE_S = 60.0
"""From the last call until the last machine is terminated."""
TEARDOWN_S = 120.0
"""Machines of a run that is stopped are paid for so much longer."""


@dataclass(frozen=True)
class Throughput:
    """How fast one worker process computes the map."""

    seconds: float
    """For a million pixels of the map."""
    source: str
    """Where the number is from, as text."""
    low_factor: float = 1.0
    high_factor: float = 1.0
    """The real number is assumed to be between these multiples of it."""


@dataclass(frozen=True)
class Workload:
    """Work of a run; None for what is not known."""

    megapixels: float | None = None
    read_bytes: float | None = None
    map_bytes: float | None = None
    ground_km2: float | None = None


@dataclass(frozen=True)
class Interval:
    """A range of a number."""

    low: float
    high: float | None
    """None when it is not known."""

    def scaled(self, factor: float) -> Interval:
        """Both ends times a factor."""
        return Interval(self.low * factor, None if self.high is None else self.high * factor)

    @property
    def rounded(self) -> tuple[float, float | None]:
        """Both ends with two or three significant digits."""
        return rounded(self.low), None if self.high is None else rounded(self.high)


@dataclass(frozen=True)
class Cost:
    """Estimate for a run."""

    hours: Interval
    usd: Interval
    """Of machines with their disks and addresses, without storage and traffic."""

    def surely_exceeds(self, budget_usd: float | None) -> bool:
        """Whether even the low end is above a budget."""
        return budget_usd is not None and self.usd.low > budget_usd


def estimate_cost(
    spec: AwsCluster | GcpCluster, prices: ClusterPrices, work: Workload, throughput: Throughput | None
) -> Cost:
    """Hours and cost of a run. Without a throughput there is only a low end: machines that start and end.

    n workers that share m machine-hours of work run for m / n hours, so the work itself costs the same with any number of
    workers. What differs is how many machines boot, and how long the scheduler runs. Which of its machine types a run gets is not
    known: the range has all of them.
    """
    regions = (prices, *prices.elsewhere)
    all_ = [
        _estimate(spec, replace(there, worker=each, others=()), work, throughput)
        for there in regions
        for each in there.workers
    ]
    return Cost(_span([each.hours for each in all_]), _span([each.usd for each in all_]))


def _span(ranges: Sequence[Interval]) -> Interval:
    """The range that has all of these."""
    high = [each.high for each in ranges if each.high is not None]
    return Interval(min(each.low for each in ranges), max(high) if len(high) == len(ranges) else None)


def _estimate(
    spec: AwsCluster | GcpCluster, prices: ClusterPrices, work: Workload, throughput: Throughput | None
) -> Cost:
    """The same for workers of one kind."""
    processes = processes_of(spec, prices.worker)
    known = throughput is not None and work.megapixels is not None and processes is not None
    low_s = high_s = 0.0
    if throughput is not None and work.megapixels is not None and processes is not None:
        machine_s = work.megapixels * throughput.seconds / processes
        low_s, high_s = machine_s * throughput.low_factor, machine_s * throughput.high_factor
    fewest, most = spec.workers.min, spec.workers.max
    slow_boot = BOOT_S if spec.machine_image else INSTALL_BOOT_S
    low = _usd(prices, _cheapest(prices, fewest, most, low_s), low_s, MIN_BILLED_S)
    high = max(_usd(prices, n, high_s, slow_boot) for n in (fewest, most)) if known else None
    hours = Interval(_hours(most, low_s, MIN_BILLED_S), _hours(fewest, high_s, slow_boot) if known else None)
    return Cost(hours, Interval(low, high))


def _cheapest(prices: ClusterPrices, fewest: int, most: int, machine_s: float) -> float:
    """Number of workers with which a run costs least: the cost of boots grows with it, that of the scheduler falls."""
    boots = prices.worker.usd_per_hour * (MIN_BILLED_S + CLOSE_S)
    best = math.sqrt(prices.scheduler.usd_per_hour * machine_s / boots) if boots else most
    return min(max(best, fewest), most)


def _hours(workers: float, machine_s: float, boot_s: float) -> float:
    """From the first launch to the last machine's end. Workers boot after the scheduler."""
    return (2 * boot_s + machine_s / workers + CLOSE_S) / 3600


def _usd(prices: ClusterPrices, workers: float, machine_s: float, boot_s: float) -> float:
    busy = workers * (boot_s + CLOSE_S) + machine_s
    return (busy * prices.worker.usd_per_hour) / 3600 + _hours(
        workers, machine_s, boot_s
    ) * prices.scheduler.usd_per_hour


def cost_entries(
    spec: AwsCluster | GcpCluster,
    prices: ClusterPrices,
    work: Workload,
    throughput: Throughput | None,
    budget_usd: float | None,
) -> dict[str, Any]:
    """The entries of `pipe plan` on machines, hours and cost, and how they compare with a budget in USD."""
    cost = estimate_cost(spec, prices, work, throughput)
    place = prices.place
    boot = BOOT_S if spec.machine_image else INSTALL_BOOT_S
    entries: dict[str, Any] = {
        "cluster_region": prices.region,
        "workers": f"{_count(spec)} x {_worker(spec, prices.worker)} each",
        **({"without_room": "; ".join(_worker(spec, each) for each in prices.others)} if prices.others else {}),
        **({"other_regions": _other_regions(prices)} if prices.elsewhere else {}),
        "scheduler": f"1 x {prices.scheduler.type}, {prices.scheduler.usd_per_hour:.3g} USD per hour",
        "disks": f"{spec.disk_gb} GB each, in the price"
        if place.disk_gb_month is not None
        else f"{spec.disk_gb} GB each; their price in {prices.region} is not known and left out",
        "boot_minutes": rounded(boot / 60),
        "rate": f"{throughput.seconds:.3g} s per megapixel and process, {throughput.source}"
        if throughput
        else NO_THROUGHPUT,
        "hours": cost.hours.rounded,
        "cost_usd": cost.usd.rounded,
        "traffic": _traffic(prices, work),
        "prices": f"approximate list prices of {prices.date}; prices in swath.yaml override them",
    }
    if work.ground_km2:
        entries["cost_usd_per_1000_km2"] = cost.usd.scaled(1000 / work.ground_km2).rounded
    if work.map_bytes and place.storage_gb_month is not None:
        entries["storage_usd_month"] = rounded(work.map_bytes / 1e9 * place.storage_gb_month)
    if cost.hours.high is not None and cost.hours.high > spec.max_hours:
        entries["time_limit"] = (
            f"machines end themselves after cluster.max_hours, {spec.max_hours:g}: the run may need longer"
        )
    if budget_usd is not None:
        entries["budget_usd"] = budget_usd
        entries["budget"] = _compare_budget(cost, budget_usd)
    return entries


def _worker(spec: AwsCluster | GcpCluster, kind: MachinePrice) -> str:
    processes = processes_of(spec, kind)
    each = f"{processes} {'process' if processes == 1 else 'processes'}" if processes else "processes not known"
    on_demand = " on demand" if spec.spot and not kind.spot else ""
    return f"{kind.type}{' spot' if kind.spot else ''}{on_demand}, {each}, {kind.usd_per_hour:.3g} USD per hour"


def _other_regions(prices: ClusterPrices) -> str:
    """Where the cluster is launched without room in the first region, and what that costs."""
    places = [f"{each.region}, a worker {each.worker.usd_per_hour:.3g} USD per hour" for each in prices.elsewhere]
    return f"where {prices.region} has no room {'; '.join(places)}; then traffic with buckets elsewhere is paid"


NO_THROUGHPUT = "not known: no earlier run of this pipeline and model has it; give cluster.seconds_per_megapixel, or run a small area"


def _compare_budget(cost: Cost, budget_usd: float) -> str:
    if cost.surely_exceeds(budget_usd):
        return "is surely exceeded: `pipe run` refuses this"
    if cost.usd.high is None:
        return "cannot be compared without a rate; the run is stopped before it is exceeded"
    if cost.usd.high > budget_usd:
        return "may be exceeded: the run is stopped before"
    return "is enough"


def _count(spec: AwsCluster | GcpCluster) -> str:
    workers = spec.workers
    return f"{workers.min} to {workers.max}" if workers.elastic else str(workers.min)


def _traffic(prices: ClusterPrices, work: Workload) -> str:
    place = prices.place
    parts = ["within the region free"]
    for what, price in (("to or from another region", place.other_region_gb), ("to the internet", place.egress_gb)):
        if price is not None:
            parts.append(f"{what} {price:g} USD per GB")
    if work.read_bytes and place.other_region_gb is not None:
        gigabytes = work.read_bytes / 1e9
        parts.append(f"so imagery in another region at most {rounded(gigabytes * place.other_region_gb):g} USD")
    if work.map_bytes and place.egress_gb is not None:
        gigabytes = work.map_bytes / 1e9
        parts.append(
            f"so the map, which a client outside the cloud reads to publish it, about {rounded(gigabytes * place.egress_gb):g} USD"
        )
    if place.reads_1000 is not None and place.writes_1000 is not None:
        parts.append(f"1000 reads of a bucket {place.reads_1000:g} USD, 1000 writes {place.writes_1000:g} USD")
    return "; ".join(parts)
