"""What a run on machines in a cloud would take: how many, for how long, and what that costs. An estimate, so a range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from swath.cluster.cost.prices import ClusterPrices
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.units import rounded

QUICK_S = 60.0
"""No machine is paid for less, and none is up sooner."""
BOOT_S = 120.0
"""Until a machine whose image has Docker, and a container to pull, works."""
BARE_BOOT_S = 300.0
"""The same with a plain image: Docker is installed first."""
CLOSE_S = 60.0
"""Until the last machine is gone."""
SPENT_S = 120.0
"""What a run that is stopped still pays for: machines do not go at once."""


@dataclass(frozen=True)
class Throughput:
    """How long one worker process takes for a million pixels of the map."""

    seconds: float
    source: str
    """Where that is from, in words."""
    least: float = 1.0
    most: float = 1.0
    """Between these parts of it the truth is taken to be."""


@dataclass(frozen=True)
class Workload:
    """What is to be done. What is not known is None."""

    megapixels: float | None = None
    read_bytes: float | None = None
    map_bytes: float | None = None


@dataclass(frozen=True)
class Interval:
    """Between what and what a number is taken to be."""

    low: float
    high: float | None
    """None when nobody knows."""

    @property
    def plain(self) -> tuple[float, float | None]:
        """For people and for JSON: two digits that count."""
        return rounded(self.low), None if self.high is None else rounded(self.high)


@dataclass(frozen=True)
class Cost:
    """What a run would take."""

    hours: Interval
    usd: Interval
    """Machines with their disks and addresses; storage and traffic are not in it."""

    def surely_passes(self, budget_usd: float | None) -> bool:
        """Whether even the least that it can cost is above a budget."""
        return budget_usd is not None and self.usd.low > budget_usd


def processes_of(spec: AwsCluster | GcpCluster, rates: ClusterPrices) -> int | None:
    """Worker processes of one machine; None when the number of its cores is not known."""
    return spec.processes or rates.worker.gpus or rates.worker.cores


def cost(spec: AwsCluster | GcpCluster, rates: ClusterPrices, work: Workload, rate: Throughput | None) -> Cost:
    """What a run would take. Without a rate only the least is told: machines that come up, and go.

    n workers that share the work of m machine-hours are there for m / n hours, so that the work costs the same however many
    there are; what differs is how often a machine boots, and for how long the scheduler is there.
    """
    processes = processes_of(spec, rates)
    known = rate is not None and work.megapixels is not None and processes is not None
    low_s = high_s = 0.0
    if rate is not None and work.megapixels is not None and processes is not None:
        machine_s = work.megapixels * rate.seconds / processes
        low_s, high_s = machine_s * rate.least, machine_s * rate.most
    fewest, most = spec.workers.min, spec.workers.max
    slow_boot = BOOT_S if spec.machine_image else BARE_BOOT_S
    low = _usd(rates, _cheapest(rates, fewest, most, low_s), low_s, QUICK_S)
    high = max(_usd(rates, n, high_s, slow_boot) for n in (fewest, most)) if known else None
    hours = Interval(_hours(most, low_s, QUICK_S), _hours(fewest, high_s, slow_boot) if known else None)
    return Cost(hours, Interval(low, high))


def _cheapest(rates: ClusterPrices, fewest: int, most: int, machine_s: float) -> float:
    """Workers with which a run costs least: what boots cost grows with them, what the scheduler costs falls."""
    boots = rates.worker.usd_per_hour * (QUICK_S + CLOSE_S)
    best = math.sqrt(rates.scheduler.usd_per_hour * machine_s / boots) if boots else most
    return min(max(best, fewest), most)


def _hours(workers: float, machine_s: float, boot_s: float) -> float:
    """From the first request to the last machine's end: the scheduler boots, then the workers do."""
    return (2 * boot_s + machine_s / workers + CLOSE_S) / 3600


def _usd(rates: ClusterPrices, workers: float, machine_s: float, boot_s: float) -> float:
    busy = workers * (boot_s + CLOSE_S) + machine_s
    return (busy * rates.worker.usd_per_hour) / 3600 + _hours(workers, machine_s, boot_s) * rates.scheduler.usd_per_hour


def facts(
    spec: AwsCluster | GcpCluster,
    rates: ClusterPrices,
    work: Workload,
    rate: Throughput | None,
    budget_usd: float | None,
) -> dict[str, Any]:
    """All of it for `pipe plan`: names and plain values."""
    found = cost(spec, rates, work, rate)
    processes = processes_of(spec, rates)
    each = f"{processes} {'process' if processes == 1 else 'processes'}" if processes else "processes not known"
    place = rates.place
    boot = BOOT_S if spec.machine_image else BARE_BOOT_S
    said: dict[str, Any] = {
        "cluster_region": rates.region,
        "workers": f"{_count(spec)} x {rates.worker.type}{' spot' if spec.spot else ''}, {each} each,"
        f" {rates.worker.usd_per_hour:.3g} USD per hour each",
        "scheduler": f"1 x {rates.scheduler.type}, {rates.scheduler.usd_per_hour:.3g} USD per hour",
        "disks": f"{spec.disk_gb} GB each, in the price"
        if place.disk_gb_month is not None
        else f"{spec.disk_gb} GB each; their price in {rates.region} is not known and left out",
        "boot_minutes": rounded(boot / 60),
        "rate": f"{rate.seconds:.3g} s per megapixel and process, {rate.source}" if rate else NO_RATE,
        "hours": found.hours.plain,
        "cost_usd": found.usd.plain,
        "traffic": _traffic(rates, work),
        "prices": f"approximate list prices of {rates.date}; prices in swath.yaml go before them",
    }
    if work.map_bytes and place.storage_gb_month is not None:
        said["storage_usd_month"] = rounded(work.map_bytes / 1e9 * place.storage_gb_month)
    if found.hours.high is not None and found.hours.high > spec.max_hours:
        said["time_limit"] = (
            f"machines end themselves after cluster.max_hours, {spec.max_hours:g}: the run may need longer"
        )
    if budget_usd is not None:
        said["budget_usd"] = budget_usd
        said["budget"] = _budget(found, budget_usd)
    return said


NO_RATE = "not known: no earlier run of this pipeline and model tells it; give cluster.seconds_per_megapixel, or run a small area"


def _budget(found: Cost, budget_usd: float) -> str:
    if found.surely_passes(budget_usd):
        return "is surely passed: `pipe run` refuses this"
    if found.usd.high is None:
        return "cannot be compared without a rate; the run is stopped before it is passed"
    if found.usd.high > budget_usd:
        return "may be passed: the run is stopped before"
    return "is enough"


def _count(spec: AwsCluster | GcpCluster) -> str:
    workers = spec.workers
    return f"{workers.min} to {workers.max}" if workers.elastic else str(workers.min)


def _traffic(rates: ClusterPrices, work: Workload) -> str:
    place = rates.place
    said = ["within the region free"]
    for what, price in (("to or from another region", place.other_region_gb), ("to the internet", place.egress_gb)):
        if price is not None:
            said.append(f"{what} {price:g} USD per GB")
    if work.read_bytes and place.other_region_gb is not None:
        gigabytes = work.read_bytes / 1e9
        said.append(f"so imagery in another region at most {rounded(gigabytes * place.other_region_gb):g} USD")
    if place.reads_1000 is not None and place.writes_1000 is not None:
        said.append(f"1000 reads of a bucket {place.reads_1000:g} USD, 1000 writes {place.writes_1000:g} USD")
    return "; ".join(said)
