"""The table of prices: it is complete, a project's prices override it, and unknown prices are not guessed."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from swath.cluster.cost.prices import PriceUnknown, cheapest_first, cluster_prices, cores_of, table
from swath.errors import SpecError
from swath.project.project import Project
from swath.spec.clusters.cloud import AwsCluster, GcpCluster, Gpus
from swath.spec.clusters.prices import Price, Prices, RegionPrices

AWS = AwsCluster(kind="aws", region="eu-central-1", image="x", security_groups=["sg-1"], public_ip=False)
GCP = GcpCluster(kind="gcp", project="acme", zone="europe-west4-a", image="x")


def test_the_table_is_dated_and_has_the_defaults_of_both_clouds_in_every_region() -> None:
    prices = table()
    assert datetime.date.fromisoformat(prices.date)
    for region in prices.aws:
        assert cluster_prices(AWS.model_copy(update={"region": region})).worker.usd_per_hour > 0
    for region in prices.gcp:
        assert cluster_prices(GCP.model_copy(update={"zone": f"{region}-a"})).worker.cores == 4


def test_every_machine_in_the_table_has_its_cores_and_is_cheaper_as_spot() -> None:
    prices = table()
    for place in (*prices.aws.values(), *prices.gcp.values()):
        assert place.disk_gb_month
        assert place.egress_gb
        for name, price in place.machines.items():
            assert price.cores or cores_of(name), name
            assert 0 < (price.spot or 0) < price.hour, name


@pytest.mark.parametrize(
    ("name", "cores"),
    [
        *(("m7i.large", 2), ("m7i.xlarge", 4), ("c7i.16xlarge", 64), ("n2-standard-4", 4), ("c3-standard-8-lssd", 8)),
        *(("a2-highgpu-1g", None), ("t3.medium", None), ("m7i.metal-24xl", None)),
    ],
)
def test_cores_are_read_from_the_name_or_not_known(name: str, cores: int | None) -> None:
    assert cores_of(name) == cores


def test_a_machine_is_priced_with_its_disk_and_its_address() -> None:
    own = Prices(
        aws={"eu-central-1": RegionPrices(machines={"m7i.xlarge": Price(hour=1)}, disk_gb_month=7.3, address_hour=0.5)}
    )
    assert cluster_prices(AWS.model_copy(update={"disk_gb": 100}), own).worker.usd_per_hour == pytest.approx(
        1 + 100 * 0.01
    )
    with_address = AWS.model_copy(update={"disk_gb": 100, "public_ip": True})
    assert cluster_prices(with_address, own).worker.usd_per_hour == pytest.approx(1 + 100 * 0.01 + 0.5)


def test_spot_is_for_workers_only_and_added_gpus_are_paid_for() -> None:
    plain, spot = cluster_prices(GCP), cluster_prices(GCP.model_copy(update={"spot": True}))
    assert spot.worker.usd_per_hour < plain.worker.usd_per_hour
    assert spot.scheduler == plain.scheduler
    n1 = GCP.model_copy(update={"machine": "n1-standard-4"})
    two = cluster_prices(n1.model_copy(update={"gpus": Gpus(type="nvidia-tesla-t4", count=2)})).worker
    t4 = table().gcp["europe-west4"].gpus["nvidia-tesla-t4"].hour
    assert two.usd_per_hour - cluster_prices(n1).worker.usd_per_hour == pytest.approx(2 * t4)
    assert two.gpus == 2


def test_an_unknown_price_is_an_error_with_the_line_to_add(tmp_path: Path) -> None:
    spec = AWS.model_copy(update={"machine": "p5.48xlarge"})
    with pytest.raises(PriceUnknown, match=r"price of p5\.48xlarge in eu-central-1 is not known") as error:
        cluster_prices(spec)
    line = error.value.remedy.partition("add it to swath.yaml: ")[2]
    (tmp_path / "swath.yaml").write_text(line.replace("USD_PER_HOUR", "98.5"))
    assert cluster_prices(spec, Project.find(tmp_path).prices).worker.usd_per_hour > 98.5


def test_prices_that_a_project_does_not_give_are_those_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("prices: {aws: {eu-central-1: {machines: {m7i.xlarge: 9}, egress_gb: 0.5}}}")
    merged = Project.find(tmp_path).prices.with_defaults(table())
    place, before = merged.aws["eu-central-1"], table().aws["eu-central-1"]
    assert (place.machines["m7i.xlarge"].hour, place.egress_gb) == (9, 0.5)
    assert place.machines["t3.medium"] == before.machines["t3.medium"]
    assert (place.disk_gb_month, merged.gcp, merged.date) == (before.disk_gb_month, table().gcp, table().date)


def test_a_wrong_price_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("prices:\n  currency: EUR\n  aws:\n    eu-central-1: {machines: {a.b: -1}}\n")
    with pytest.raises(SpecError) as error:
        Project.find(tmp_path)
    assert {mistake.line for mistake in error.value.mistakes} == {2, 4}


def test_a_region_without_a_price_of_disks_counts_none() -> None:
    machine = Price(hour=1.0, spot=0.5, cores=4)
    place = RegionPrices(machines={AWS.machine: machine, AWS.scheduler_machine: machine})
    own = Prices(aws={"nowhere-1": place})
    found = cluster_prices(AWS.model_copy(update={"region": "nowhere-1", "spot": False}), own)
    assert found.scheduler.usd_per_hour == 1.0


def test_machine_types_are_tried_in_the_order_of_their_price_for_each_process() -> None:
    machines = {
        "n2-standard-4": Price(hour=0.4, spot=0.3),
        "n2-standard-8": Price(hour=0.9, spot=0.2),
        "e2-medium": Price(hour=1),
    }
    own = Prices(gcp={"europe-west4": RegionPrices(machines=machines, disk_gb_month=0, address_hour=0)})
    spec = GCP.model_copy(update={"machine": "n2-standard-4", "machines": ["n2-standard-8"]})
    assert cheapest_first(spec, own).worker_machines == ["n2-standard-4", "n2-standard-8"]
    spot = spec.model_copy(update={"spot": True, "on_demand": True})
    assert cheapest_first(spot, own).worker_machines == ["n2-standard-8", "n2-standard-4"]
    kinds = [(each.type, each.spot, each.usd_per_hour) for each in cluster_prices(spot, own).workers]
    assert kinds == [
        ("n2-standard-8", True, 0.2),
        ("n2-standard-4", True, 0.3),
        ("n2-standard-8", False, 0.9),
        ("n2-standard-4", False, 0.4),
    ]
    unknown = spec.model_copy(update={"machines": ["x9-standard-2"]})
    assert cheapest_first(unknown, own) == unknown
    with pytest.raises(PriceUnknown, match="x9-standard-2"):
        cluster_prices(unknown, own)


def test_a_machine_has_the_price_of_the_region_in_which_it_was_launched() -> None:
    prices = cluster_prices(GCP.model_copy(update={"zones": ["us-central1-a", "europe-west1-b"]}))
    here = prices.usd_per_hour("worker", "n2-standard-4", spot=False, place="europe-west4-a")
    assert here == prices.worker.usd_per_hour
    assert [each.region for each in prices.elsewhere] == ["us-central1", "europe-west1"]
    there = prices.usd_per_hour("worker", "n2-standard-4", spot=False, place="us-central1-a")
    assert there == prices.elsewhere[0].worker.usd_per_hour != here
    assert prices.usd_per_hour("scheduler", place="us-central1-a") == prices.elsewhere[0].scheduler.usd_per_hour
