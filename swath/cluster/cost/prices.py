"""Prices of machines in clouds: the dated table in the package, overridden by the project's own, and those of one cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ClusterPrices:
    """Prices of the machines of one cluster."""

    region: str
    worker: MachinePrice
    scheduler: MachinePrice
    place: RegionPrices
    """Prices of disks, storage and traffic."""
    date: str
    """Date of the table."""
    on_demand: MachinePrice | None = None
    """Of a worker that is launched on demand because there was no room for a spot machine; None where that does not happen."""

    def usd_per_hour(self, role: str, *, spot: bool = True) -> float:
        """Price of a machine with a role, `scheduler` or `worker`; `spot`: whether it is a spot machine where it should be one."""
        if role == "scheduler":
            return self.scheduler.usd_per_hour
        return (self.worker if spot or self.on_demand is None else self.on_demand).usd_per_hour

    @property
    def dearest_worker_usd(self) -> float:
        """The highest price of a worker for an hour."""
        return max(self.worker.usd_per_hour, self.usd_per_hour("worker", spot=False))


def cluster_prices(spec: AwsCluster | GcpCluster, own: Prices | None = None) -> ClusterPrices:
    """Prices of a cluster's machines. `own` are the project's prices, which override the table. Raises PriceUnknown with the line
    to add to swath.yaml."""
    prices = table() if own is None else own.with_defaults(table())
    region = region_of(spec)
    places = prices.aws if isinstance(spec, AwsCluster) else prices.gcp
    place = places.get(region, RegionPrices())
    missing = [name for name in dict.fromkeys((spec.machine, spec.scheduler_machine)) if name not in place.machines]
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
        return MachinePrice(name, usd, price.cores or cores_of(name), gpus or price.gpus or 0)

    def worker(spot: bool) -> MachinePrice:
        added = _hour(place.gpus[gpus.type], spot) * gpus.count if gpus is not None else 0.0
        return machine(spec.machine, spot, added, gpus.count if gpus is not None else 0)

    scheduler = machine(spec.scheduler_machine, spot=False)
    on_demand = worker(spot=False) if spec.on_demand else None
    return ClusterPrices(region, worker(spec.spot), scheduler, place, prices.date, on_demand)


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
