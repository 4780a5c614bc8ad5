"""Machines on Compute Engine are asked for as the spec says, end themselves, and what is refused is told with its remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from swath.cluster.cloud.gcp import has_gpus, instance, name_of
from swath.cluster.providers.gce import GceFleet, machine, refusal, tail
from swath.cluster.providers.machine import Machine
from swath.errors import CredentialsError, InfrastructureError
from swath.spec.clusters.cloud import GcpCluster


def spec(**fields: Any) -> GcpCluster:
    given = {"project": "acme-maps", "zone": "europe-west4-a", "image": "ghcr.io/acme/swath:1", **fields}
    return GcpCluster(kind="gcp", **given)


def asked(role: str = "worker", **fields: Any) -> dict[str, Any]:
    return instance(
        spec(**fields),
        name="swath-w1",
        role=role,
        label="run-1",
        expires=1767225600.2,
        seconds=3599.5,
        user_data="#cloud-config\n",
    )


def test_every_machine_and_its_disk_are_labelled_and_end_at_the_limit_from_the_create_call_on() -> None:
    for role in ("scheduler", "worker"):
        body = asked(role)
        labels = {"swath-run": "run-1", "swath-expires": "1767225601", "swath-role": role}
        [disk] = body["disks"]
        assert body["labels"] == disk["initializeParams"]["labels"] == labels
        assert disk["autoDelete"] is True
        assert body["scheduling"]["maxRunDuration"] == {"seconds": "3600"}
        assert body["scheduling"]["instanceTerminationAction"] == "DELETE"
        assert body["scheduling"]["automaticRestart"] is False


def test_workers_alone_are_spot_machines_and_never_by_the_old_field() -> None:
    scheduler, worker = asked("scheduler", spot=True)["scheduling"], asked("worker", spot=True)["scheduling"]
    assert (scheduler["provisioningModel"], scheduler["onHostMaintenance"]) == ("STANDARD", "MIGRATE")
    assert (worker["provisioningModel"], worker["onHostMaintenance"]) == ("SPOT", "TERMINATE")
    assert "preemptible" not in worker
    assert asked("worker")["scheduling"]["provisioningModel"] == "STANDARD"


def test_gpus_are_added_to_workers_only_where_the_machine_type_has_none() -> None:
    t4 = {"machine": "n1-standard-4", "gpus": {"type": "nvidia-tesla-t4", "count": 2}}
    [gpus] = asked("worker", **t4)["guestAccelerators"]
    assert gpus["acceleratorCount"] == 2
    assert gpus["acceleratorType"] == "projects/acme-maps/zones/europe-west4-a/acceleratorTypes/nvidia-tesla-t4"
    assert asked("worker", **t4)["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert "guestAccelerators" not in asked("scheduler", **t4)
    g2 = asked("worker", machine="g2-standard-8")
    assert "guestAccelerators" not in g2
    assert g2["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert [has_gpus(spec(**each)) for each in (t4, {"machine": "g2-standard-8"}, {})] == [True, True, False]


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
    [interface] = asked(**fields)["networkInterfaces"]
    assert interface.get("network") == (f"projects/{network}" if network else None)
    assert interface["subnetwork"] == f"projects/{subnetwork}"


def test_a_machine_without_public_ip_has_no_address_on_the_internet() -> None:
    assert "accessConfigs" in asked()["networkInterfaces"][0]
    assert "accessConfigs" not in asked(public_ip=False)["networkInterfaces"][0]


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
    assert asked(**fields)["disks"][0]["initializeParams"]["sourceImage"] == source


def test_a_machine_boots_from_a_disk_that_its_type_takes() -> None:
    kinds = {
        each: asked(machine=each)["disks"][0]["initializeParams"]["diskType"]
        for each in ("n2-standard-4", "n4-standard-4")
    }
    assert [kind.rpartition("/")[2] for kind in kinds.values()] == ["pd-balanced", "hyperdisk-balanced"]


def test_machines_may_read_and_write_buckets_with_the_account_of_the_spec() -> None:
    [account] = asked(service_account="worker@acme-maps.iam.gserviceaccount.com")["serviceAccounts"]
    assert account["email"] == "worker@acme-maps.iam.gserviceaccount.com"
    assert account["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert asked()["serviceAccounts"][0]["email"] == "default"


def test_a_name_is_one_that_compute_engine_takes_and_keeps_what_makes_it_unlike_others() -> None:
    long = name_of("2026_" + "x" * 58 + "-9558aaa6")
    assert len(long) == 63
    assert long.startswith("swath-x")
    assert long.endswith("-9558aaa6")
    assert name_of("20260301-my_run-1a2b-scheduler") == "swath-20260301-my-run-1a2b-scheduler"


# --- what is refused


def told(status: int, message: str, reason: str = "") -> CredentialsError | InfrastructureError:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message, "domain": "global"}]}
    said = refusal("acme-maps", status, json.dumps({"error": error}).encode())
    assert message in said.message
    assert isinstance(said, CredentialsError | InfrastructureError)
    return said


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind", "remedy"),
    [
        (
            403,
            "quotaExceeded",
            "Quota 'CPUS' exceeded.  Limit: 24.0 in region europe-west4.",
            InfrastructureError,
            "quotas",
        ),
        (
            403,
            "forbidden",
            "Required 'compute.instances.create' permission for 'projects/p'",
            CredentialsError,
            "infra/iam",
        ),
        (
            403,
            "forbidden",
            "Required 'compute.subnetworks.use' permission for 'projects/p/regions/r/subnetworks/s'",
            CredentialsError,
            "infra/iam",
        ),
        (
            403,
            "accessNotConfigured",
            "Compute Engine API has not been used in project 1",
            InfrastructureError,
            "enable",
        ),
        (401, "authError", "Request had invalid authentication credentials.", CredentialsError, "gcloud auth"),
        (
            404,
            "notFound",
            "The resource 'projects/p/regions/r/subnetworks/blue' was not found",
            InfrastructureError,
            "cluster.subnetwork",
        ),
        (
            404,
            "notFound",
            "The resource 'projects/p/global/images/family/swath' was not found",
            InfrastructureError,
            "cluster.machine_image",
        ),
        (
            400,
            "invalid",
            "Invalid value for field 'resource.machineType': 'zones/z/machineTypes/n9'. Machine type with name 'n9' does not"
            " exist in zone 'z'.",
            InfrastructureError,
            "cluster.machine",
        ),
        (404, "notFound", "The resource 'projects/nobody' was not found", InfrastructureError, "cluster.project"),
        (503, "backendError", "Backend error", InfrastructureError, ""),
    ],
)
def test_a_refusal_says_what_is_missing_and_what_to_do(
    status: int, reason: str, message: str, kind: type[Exception], remedy: str
) -> None:
    said = told(status, message, reason)
    assert isinstance(said, kind)
    assert remedy in said.remedy


def test_an_answer_that_is_no_json_is_told_too() -> None:
    assert "502 Bad Gateway" in refusal("p", 502, b"<h1>502 Bad Gateway</h1>").message
    assert "HTTP 500" in refusal("p", 500, b"").message


# --- the fleet


def test_a_stopped_machine_and_one_with_labels_that_cannot_be_read_are_machines_too() -> None:
    listed = {
        "id": "42",
        "name": "swath-w1",
        "status": "TERMINATED",
        "machineType": "https://host/compute/v1/projects/p/zones/z/machineTypes/n2-standard-4",
        "labels": {"swath-run": "r", "swath-role": "worker", "swath-expires": "1767225601"},
    }
    assert machine("z", listed) == Machine(
        "42", "swath-w1", "r", "worker", 1767225601, "z", "TERMINATED", "n2-standard-4"
    )
    assert machine("z", {"name": "n", "labels": {"swath-expires": "soon"}}).expires == 0


def test_the_tail_of_a_console_is_what_was_said_last_without_colours() -> None:
    console = "boot\r\n\x1b[0;32mdocker: pull\x1b[0m\r\n\r\n\x07manifest unknown\r\n"
    assert tail(console, 2) == "docker: pull\nmanifest unknown"


def test_the_command_that_removes_a_machine_by_hand_names_project_and_zone() -> None:
    gone = Machine("42", "swath-w1", "r", "worker", 0, "europe-west4-a", "RUNNING")
    command = GceFleet("acme-maps").removal(gone)
    assert command == "gcloud compute instances delete swath-w1 --project=acme-maps --zone=europe-west4-a --quiet"
