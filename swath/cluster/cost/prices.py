"""Prices of machines in clouds: the dated table in the package, overridden by the project's own, and those of one cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from swath.errors import UsageError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.prices import Price, Prices, RegionPrices
from swath.spec.fields.paths import ValidationContext
from swath.spec.validation.validate import validate
from swath.spec.yaml.document import parse, read

TABLE = Path(__file__).with_name("prices.yaml")
HOURS_PER_MONTH = 730
_AWS_SIZES = {"large": 2, "xlarge": 4}
"""Size at the end of an instance type -> virtual CPUs. Smaller sizes differ between families."""


@cache
def table() -> Prices:
    """The table in the package."""
    document = parse(read(str(TABLE)), str(TABLE))
    return validate(Prices, document, ValidationContext(TABLE.parent), {}).unwrap()


class PriceUnknown(UsageError):
    """A price is neither in the table nor in the project's settings."""


@dataclass(frozen=True)
class MachinePrice:
    """Price of one machine, with its disk, its public address and its GPUs."""

    type: str
    usd_per_hour: float
    cores: int | None
    """Virtual CPUs; None when they are not known."""
    gpus: int
    spot: bool = False


@dataclass(frozen=True)
class ClusterPrices:
    """Prices of the machines of one cluster."""

    region: str
    worker: MachinePrice
    """Of the first choice."""
    scheduler: MachinePrice
    place: RegionPrices
    """Prices of disks, storage and traffic."""
    date: str
    """Date of the table."""
    others: tuple[MachinePrice, ...] = ()
    """Of workers that are launched as another machine type, or on demand, because there was no room."""

    elsewhere: tuple[ClusterPrices, ...] = ()
    """In the other regions in which the cluster may be launched."""

    @property
    def workers(self) -> tuple[MachinePrice, ...]:
        """All that a worker may be, in the order in which it is tried."""
        return (self.worker, *self.others)

    def usd_per_hour(self, role: str, type_: str = "", *, spot: bool = True, place: str = "") -> float:
        """Price of a machine that was launched: with a role, `scheduler` or `worker`, as a machine type, as a spot machine or not."""
        if there := [each for each in self.elsewhere if place.startswith(each.region)]:
            longest = max(there, key=lambda each: len(each.region))  # europe-west10-a is not in europe-west1
            if not place.startswith(self.region) or len(longest.region) > len(self.region):
                return longest.usd_per_hour(role, type_, spot=spot)
        if role == "scheduler":
            return self.scheduler.usd_per_hour
        found = (each for each in self.workers if (each.type, each.spot) == (type_, spot))
        return next(found, self.worker).usd_per_hour


def cluster_prices(spec: AwsCluster | GcpCluster, own: Prices | None = None) -> ClusterPrices:
    """Prices of a cluster's machines, in all its regions. `own` are the project's prices, which override the table. Raises PriceUnknown
    with the line to add to swath.yaml."""
    first, *others = [_prices_in_region(each, own) for each in spec.in_regions()]
    return replace(first, elsewhere=tuple(others))


def _prices_in_region(spec: AwsCluster | GcpCluster, own: Prices | None) -> ClusterPrices:
    prices = table() if own is None else own.with_defaults(table())
    region = region_of(spec)
    places = prices.aws if isinstance(spec, AwsCluster) else prices.gcp
    place = places.get(region, RegionPrices())
    wanted = dict.fromkeys((*spec.worker_machines, spec.scheduler_machine))
    missing = [name for name in wanted if name not in place.machines]
    gpus = spec.gpus if isinstance(spec, GcpCluster) else None
    missing_gpu = gpus is not None and gpus.type not in place.gpus
    if missing or missing_gpu:
        lines = [f"machines: {{{', '.join(f'{name}: USD_PER_HOUR' for name in missing)}}}"] if missing else []
        lines += [f"gpus: {{{gpus.type}: USD_PER_HOUR}}"] if gpus is not None and missing_gpu else []
        names = [*missing, *([gpus.type] if gpus is not None and missing_gpu else [])]
        raise PriceUnknown(
            f"the price of {' and '.join(names)} in {region} is not known",
            remedy=f"add it to swath.yaml: prices: {{{spec.kind}: {{{region}: {{{', '.join(lines)}}}}}}}",
        )

    def machine(name: str, spot: bool, added: float = 0, gpus: int = 0) -> MachinePrice:
        price = place.machines[name]
        usd = _hour(price, spot) + added + spec.disk_gb * (place.disk_gb_month or 0) / HOURS_PER_MONTH
        usd += (place.address_hour or 0) if spec.public_ip else 0
        return MachinePrice(name, usd, price.cores or cores_of(name), gpus or price.gpus or 0, spot)

    def worker(name: str, spot: bool) -> MachinePrice:
        added = _hour(place.gpus[gpus.type], spot) * gpus.count if gpus is not None else 0.0
        return machine(name, spot, added, gpus.count if gpus is not None else 0)

    scheduler = machine(spec.scheduler_machine, spot=False)
    kinds = (spec.spot, False) if spec.on_demand else (spec.spot,)
    names = sorted(spec.worker_machines, key=lambda name: _per_process(spec, worker(name, spec.spot)))
    first, *others = [worker(name, spot) for spot in kinds for name in names]
    return ClusterPrices(region, first, scheduler, place, prices.date, tuple(others))


def processes_of(spec: AwsCluster | GcpCluster, worker: MachinePrice) -> int | None:
    """Worker processes of one worker machine; None when the number of its cores is not known."""
    return spec.processes or worker.gpus or worker.cores


def _per_process(spec: AwsCluster | GcpCluster, worker: MachinePrice) -> float:
    """Price of one worker process for an hour; of the machine, where it is not known how many it has."""
    return worker.usd_per_hour / (processes_of(spec, worker) or 1)


def cheapest_first(spec: AwsCluster | GcpCluster, own: Prices | None = None) -> AwsCluster | GcpCluster:
    """A cluster whose machine types are in the order in which they are tried: the cheapest for each process first. In the order of the
    spec where a price is not known."""
    try:
        found = cluster_prices(spec, own)
    except PriceUnknown:
        return spec
    first, *others = dict.fromkeys(each.type for each in found.workers)
    return spec.model_copy(update={"machine": first, "machines": others})


def region_of(spec: AwsCluster | GcpCluster) -> str:
    """Region of its machines."""
    return spec.region if isinstance(spec, AwsCluster) else spec.zone.rpartition("-")[0]


def cores_of(machine_type: str) -> int | None:
    """Virtual CPUs by the name of a machine type: 4 of m7i.xlarge and of n2-standard-4; None when the name does not contain them."""
    if found := re.fullmatch(r"[a-z0-9-]+\.(\d*)(xlarge|large)", machine_type):
        return _AWS_SIZES[found[2]] * int(found[1] or 1)
    # a2-highgpu-1g ends in a number of GPUs, not of processors
    found = re.fullmatch(r"[a-z0-9]+-(?:[a-z]+-)?(\d+)(?:-lssd)?", machine_type)
    return int(found[1]) if found else None


def _hour(price: Price, spot: bool) -> float:
    return price.spot if spot and price.spot is not None else price.hour
