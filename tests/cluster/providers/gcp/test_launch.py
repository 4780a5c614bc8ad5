"""Instances on Compute Engine are requested as the spec says, end by themselves at their limit, and what is missing is named."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from swath.cluster.providers.contract import LaunchRequest
from swath.cluster.providers.gcp.fleet import GceFleet
from swath.cluster.providers.gcp.launch import GceProvider, has_gpus, instance_body, instance_name
from swath.cluster.providers.placement import NoCapacity
from swath.cluster.teardown.removal import RemovalLimits, remove_all
from swath.errors import InfrastructureError
from tests.clouds.control import Cloud
from tests.cluster.specs import gce_spec, gcp_spec


def body(role: str = "worker", **fields: Any) -> dict[str, Any]:
    """Body of the insert request for a machine of a spec with these fields."""
    spec = gcp_spec(**fields)
    type_ = spec.machine if role == "worker" else spec.scheduler_machine
    spot = role == "worker" and spec.spot
    request = LaunchRequest("w1", role, type_, spot, "run-1", 1767225600.2, "#cloud-config\n")
    return instance_body(spec, request, seconds=3599.5)


def test_every_machine_and_its_disk_are_labelled_and_end_at_the_limit_from_the_create_call_on() -> None:
    for role in ("scheduler", "worker"):
        request = body(role)
        labels = {"swath-run": "run-1", "swath-expires": "1767225601", "swath-role": role}
        [disk] = request["disks"]
        assert request["labels"] == disk["initializeParams"]["labels"] == labels
        assert disk["autoDelete"] is True
        assert request["scheduling"]["maxRunDuration"] == {"seconds": "3600"}
        assert request["scheduling"]["instanceTerminationAction"] == "DELETE"
        assert request["scheduling"]["automaticRestart"] is False


def test_workers_alone_are_spot_machines_and_never_by_the_old_field() -> None:
    scheduler, worker = body("scheduler", spot=True)["scheduling"], body("worker", spot=True)["scheduling"]
    assert (scheduler["provisioningModel"], scheduler["onHostMaintenance"]) == ("STANDARD", "MIGRATE")
    assert (worker["provisioningModel"], worker["onHostMaintenance"]) == ("SPOT", "TERMINATE")
    assert "preemptible" not in worker
    assert body("worker")["scheduling"]["provisioningModel"] == "STANDARD"


def test_gpus_are_added_to_workers_only_where_the_machine_type_has_none() -> None:
    t4 = {"machine": "n1-standard-4", "gpus": {"type": "nvidia-tesla-t4", "count": 2}, "machine_image": "gpu"}
    [gpus] = body("worker", **t4)["guestAccelerators"]
    assert gpus["acceleratorCount"] == 2
    assert gpus["acceleratorType"] == "projects/acme-maps/zones/europe-west4-a/acceleratorTypes/nvidia-tesla-t4"
    assert body("worker", **t4)["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert "guestAccelerators" not in body("scheduler", **t4)
    g2 = body("worker", machine="g2-standard-8", machine_image="gpu")
    assert "guestAccelerators" not in g2
    assert g2["scheduling"]["onHostMaintenance"] == "TERMINATE"
    g2_fields = {"machine": "g2-standard-8", "machine_image": "gpu"}
    assert [has_gpus(gcp_spec(**each)) for each in (t4, g2_fields, {})] == [True, True, False]


@pytest.mark.parametrize(
    ("fields", "network", "subnetwork"),
    [
        ({}, "acme-maps/global/networks/default", "acme-maps/regions/europe-west4/subnetworks/default"),
        ({"network": "maps"}, "acme-maps/global/networks/maps", "acme-maps/regions/europe-west4/subnetworks/maps"),
        ({"subnetwork": "blue"}, None, "acme-maps/regions/europe-west4/subnetworks/blue"),
        (
            {"network": "n", "subnetwork": "s"},
            "acme-maps/global/networks/n",
            "acme-maps/regions/europe-west4/subnetworks/s",
        ),
        (
            {"network": "projects/host/global/networks/shared"},
            "host/global/networks/shared",
            "host/regions/europe-west4/subnetworks/shared",
        ),
        (
            {"subnetwork": "projects/host/regions/europe-west4/subnetworks/s"},
            None,
            "host/regions/europe-west4/subnetworks/s",
        ),
    ],
)
def test_the_network_is_the_one_that_the_spec_names(
    fields: dict[str, str], network: str | None, subnetwork: str
) -> None:
    [interface] = body(**fields)["networkInterfaces"]
    assert interface.get("network") == (f"projects/{network}" if network else None)
    assert interface["subnetwork"] == f"projects/{subnetwork}"


def test_a_machine_without_public_ip_has_no_address_on_the_internet() -> None:
    assert "accessConfigs" in body()["networkInterfaces"][0]
    assert "accessConfigs" not in body(public_ip=False)["networkInterfaces"][0]


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({}, "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"),
        ({"machine": "t2a-standard-4"}, "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64"),
        ({"machine_image": "swath-1"}, "projects/acme-maps/global/images/swath-1"),
        ({"machine_image": "family/swath"}, "projects/acme-maps/global/images/family/swath"),
        ({"machine_image": "projects/p/global/images/i"}, "projects/p/global/images/i"),
        (
            {"machine_image": "https://www.googleapis.com/compute/v1/projects/p/global/images/i"},
            "projects/p/global/images/i",
        ),
    ],
)
def test_the_machine_image_is_a_name_a_family_or_a_whole_path(fields: dict[str, str], source: str) -> None:
    assert body(**fields)["disks"][0]["initializeParams"]["sourceImage"] == source


def test_a_machine_boots_from_a_disk_that_its_type_takes() -> None:
    kinds = {
        each: body(machine=each)["disks"][0]["initializeParams"]["diskType"]
        for each in ("n2-standard-4", "n4-standard-4")
    }
    assert [kind.rpartition("/")[2] for kind in kinds.values()] == ["pd-balanced", "hyperdisk-balanced"]


def test_machines_may_read_and_write_buckets_with_the_account_of_the_spec() -> None:
    [account] = body(service_account="worker@acme-maps.iam.gserviceaccount.com")["serviceAccounts"]
    assert account["email"] == "worker@acme-maps.iam.gserviceaccount.com"
    assert account["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert body()["serviceAccounts"][0]["email"] == "default"


def test_a_name_is_accepted_by_compute_engine_and_keeps_its_unique_end() -> None:
    long = instance_name("2026_" + "x" * 58 + "-9558aaa6")
    assert len(long) == 63
    assert long.startswith("swath-x")
    assert long.endswith("-9558aaa6")
    assert instance_name("20260301-my_run-1a2b-scheduler") == "swath-20260301-my-run-1a2b-scheduler"


# --- on a simulated Compute Engine


def launch_request(name: str, *, role: str = "worker", seconds: float = 3600) -> LaunchRequest:
    return LaunchRequest(name, role, "n2-standard-4", False, "run-1", time.time() + seconds, "#cloud-config\n")


def test_a_request_whose_response_was_lost_launches_one_instance(gce_cloud: Cloud) -> None:
    gce_cloud.behaviour(boot="never")
    gce_cloud.fail_create(when="after")
    launched = GceProvider(gce_spec(gce_cloud)).launch(launch_request("run-1-a"))
    fleet = GceFleet(gce_cloud.network["project"])
    assert [each.id for each in fleet.machines("run-1")] == [launched.id]
    assert fleet.machines("run-2") == []
    gce_cloud.fail_removal(times=1, status=400)  # not asked again by the API's client
    with pytest.raises(InfrastructureError):
        fleet.terminate([launched])
    assert remove_all(fleet, "run-1", limits=RemovalLimits(empty_for_s=0.3)) == 1
    fleet.terminate([launched])  # no error for an instance that does not exist
    assert gce_cloud.empty()


def test_a_machine_is_deleted_by_the_cloud_at_its_time_limit(gce_cloud: Cloud) -> None:
    gce_cloud.behaviour(boot="never")
    gce_cloud.speed(3600)
    provider = GceProvider(gce_spec(gce_cloud))
    launched = provider.launch(launch_request("run-1-a", seconds=3600))
    assert dataclasses.replace(provider.fleet.machines()[0], state="") == dataclasses.replace(launched, state="")
    assert gce_cloud.empty()
    assert provider.fleet.machines() == []


def test_a_missing_resource_is_named(gce_cloud: Cloud) -> None:
    with pytest.raises(InfrastructureError, match=r"(?s)missing-net.*cluster\.(sub)?network"):
        GceProvider(gce_spec(gce_cloud, network="missing-net")).launch(launch_request("run-1-a"))


def test_a_runs_machines_are_listed_in_their_zone_and_consoles_from_their_end(gce_cloud: Cloud) -> None:
    """Compute Engine takes a negative `start` for the most recent bytes of a serial port, and `instances.list` for one zone."""
    gce_cloud.behaviour(boot="never")
    provider = GceProvider(gce_spec(gce_cloud))
    launched = provider.launch(launch_request("run-1-a"))
    assert gce_cloud.until(lambda: bool(provider.fleet.machines("run-1")), 60)
    assert "instances.aggregatedList" not in gce_cloud.actions()
    assert [each.id for each in GceFleet(gce_cloud.network["project"]).machines("run-1")] == [launched.id]
    assert "instances.aggregatedList" in gce_cloud.actions(), "who does not know the zones lists all"
    provider.fleet.console(launched)
    (read,) = [each for each in gce_cloud.calls() if each["action"] == "instances.getSerialPortOutput"]
    assert read["parameters"]["start"] == "-16384"
    provider.fleet.terminate([launched])
    assert gce_cloud.empty()


def test_a_machine_is_launched_in_the_next_zone_when_one_has_no_room(gce_cloud: Cloud) -> None:
    """Compute Engine accepts the request, and only its operation ends with ZONE_RESOURCE_POOL_EXHAUSTED."""
    gce_cloud.behaviour(boot="never")
    gce_cloud.stock_out()
    provider = GceProvider(gce_spec(gce_cloud, zones=["us-central1-b", "us-central1-c"]))
    first, second = (provider.launch(launch_request(f"run-1-{name}")) for name in "ab")
    assert [first.place, second.place] == ["us-central1-b"] * 2, "the full zone is not asked again soon"
    inserted = [each["parameters"]["zone"] for each in gce_cloud.calls() if each["action"] == "instances.insert"]
    assert inserted == ["us-central1-a", "us-central1-b", "us-central1-b"]
    assert {each.id for each in provider.fleet.machines("run-1")} == {first.id, second.id}
    assert gce_cloud.until(lambda: bool(provider.status(first).private_ip), 60)
    provider.fleet.terminate([first, second])
    assert gce_cloud.empty()


def test_a_machine_is_launched_as_the_next_type_when_no_zone_has_room_for_one(gce_cloud: Cloud) -> None:
    gce_cloud.behaviour(boot="never")
    gce_cloud.stock_out(times=2)
    provider = GceProvider(gce_spec(gce_cloud, zones=["us-central1-b"], machines=["n2d-standard-4"]))
    launched = provider.launch(dataclasses.replace(launch_request("run-1-a"), other_types=("n2d-standard-4",)))
    assert (launched.type, launched.place) == ("n2d-standard-4", "us-central1-a")
    assert [each.id for each in provider.fleet.machines("run-1")] == [launched.id]
    gce_cloud.quota()
    with pytest.raises(InfrastructureError, match="Quota 'CPUS' exceeded") as caught:
        provider.launch(launch_request("run-1-b"))
    assert not isinstance(caught.value, NoCapacity)
    provider.fleet.terminate([launched])
    assert gce_cloud.empty()


def test_where_no_zone_has_room_for_spot_machines_one_is_launched_on_demand(gce_cloud: Cloud) -> None:
    gce_cloud.behaviour(boot="never")
    gce_cloud.stock_out(times=2)
    provider = GceProvider(gce_spec(gce_cloud, zones=["us-central1-b"], spot=True, on_demand=True))
    launched = provider.launch(dataclasses.replace(launch_request("run-1-a"), spot=True))
    models = [
        (each["parameters"]["zone"][-1], each["parameters"]["body"]["scheduling"]["provisioningModel"])
        for each in gce_cloud.calls()
        if each["action"] == "instances.insert"
    ]
    assert models == [("a", "SPOT"), ("b", "SPOT"), ("a", "STANDARD")]
    assert (launched.spot, launched.place) == (False, "us-central1-a")
    provider.fleet.terminate([launched])
    assert gce_cloud.empty()
