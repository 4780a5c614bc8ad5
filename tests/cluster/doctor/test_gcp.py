from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.doctor.gcp import allows, applies, check_project, gpu_metric, needed_quotas, reaches_from_outside
from swath.spec.clusters.cloud import Gpus
from swath.spec.clusters.workers import Workers
from tests.cluster.doctor.conftest import by_name, gcp_cluster


def test_a_project_without_problems_has_no_failure(gcp: Any) -> None:
    found = list(check_project(gcp_cluster(gpus=Gpus(type="nvidia-tesla-t4"), machine="n1-standard-4")))
    assert not [each for each in found if each.state != "ok"]
    assert found[0].message == "machines of acme can be listed; of runs there are 0"
    assert list(by_name(found)) == [
        "credentials",
        "project",
        "zone",
        "machines",
        "gpus",
        "image",
        "network",
        "firewall",
        "quota",
    ]


@pytest.mark.parametrize(
    ("fields", "what", "message"),
    [
        ({"project": "other"}, "credentials", "project other"),
        ({"zone": "europe-west4-z"}, "zone", "europe-west4-z"),
        ({"machine": "n2-standard-999"}, "machines", "set cluster.machine"),
        ({"machine": "n1-standard-8", "gpus": Gpus(type="nvidia-none")}, "gpus", "acceleratorTypes"),
        ({"machine": "n1-standard-8", "gpus": Gpus(type="nvidia-tesla-t4", count=8)}, "gpus", "at most 4"),
        ({"machine_image": "nothing"}, "image", "make machine-image"),
        ({"disk_gb": 10}, "image", "set cluster.disk_gb"),
        ({"subnetwork": "nothing"}, "network", "set cluster.subnetwork"),
        (
            {"workers": Workers(min=1, max=100), "public_ip": False},
            "quota",
            "N2_CPUS of europe-west4: 8 of 200 in use, 400 more",
        ),
    ],
)
def test_a_problem_in_the_project_is_a_failure_with_a_remedy(
    gcp: Any, fields: dict[str, Any], what: str, message: str
) -> None:
    found = [check for check in check_project(gcp_cluster(**fields)) if check.state == "fail" and check.what == what]
    assert [check.exit_code for check in found] == [5]
    assert message in found[0].message


def test_a_network_without_rules_is_a_failure_with_the_commands_that_open_it(gcp: Any) -> None:
    gcp.change("projects/acme/global/firewalls", {"items": []})
    found = [check.message for check in check_project(gcp_cluster()) if check.what == "firewall"]
    assert len(found) == 2
    assert all("gcloud compute firewall-rules create" in message for message in found)


def test_rules_that_are_disabled_or_for_other_machines_or_ports_do_not_count() -> None:
    rule = {"network": "n/default", "allowed": [{"IPProtocol": "tcp", "ports": ["22", "8000-9000"]}]}
    assert applies(rule, "default", None)
    assert not applies({**rule, "disabled": True}, "default", None)
    assert not applies({**rule, "targetTags": ["web"]}, "default", None)
    assert not applies({**rule, "direction": "EGRESS"}, "default", None)
    assert not applies(rule, "other", None)
    assert allows(rule, 8786, 8786)
    assert not allows(rule, 1024, 65535)


def test_refused_credentials_are_exit_code_4_and_end_the_checks(gcp: Any) -> None:
    gcp.refuse(401)
    found = list(check_project(gcp_cluster()))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 4)]


def test_an_account_that_may_only_create_machines_gets_warnings(gcp: Any) -> None:
    gcp.refuse(403)
    found = list(check_project(gcp_cluster()))
    assert {check.state for check in found[1:]} == {"warn"}
    assert found[0].state == "ok"
    assert len(found) >= 6


@pytest.mark.parametrize(
    ("source", "public_ip", "reaches"),
    [
        ("10.128.0.0/9", True, False),  # default-allow-internal of each new project
        ("10.128.0.0/9", False, False),
        ("10.0.0.0/8", True, False),
        ("192.168.7.0/24", True, False),
        ("192.168.7.0/24", False, True),  # a VPN
        ("8.8.8.8/32", True, True),
        ("0.0.0.0/0", True, True),
    ],
)
def test_a_rule_for_machines_of_the_network_lets_no_client_in(source: str, public_ip: bool, reaches: bool) -> None:
    assert reaches_from_outside(source, "10.132.0.0/20", public_ip=public_ip) is reaches


def test_the_firewall_of_a_new_project_is_closed_for_clients(gcp: Any) -> None:
    """Google's default network: default-allow-internal opens all ports for 10.128.0.0/9."""
    rule = {
        "network": "global/networks/default", "direction": "INGRESS", "sourceRanges": ["10.128.0.0/9"],
        "allowed": [{"IPProtocol": "tcp", "ports": ["0-65535"]}],
    }  # fmt: skip
    gcp.change("projects/acme/global/firewalls", {"items": [rule]})
    found = [check for check in check_project(gcp_cluster()) if check.what == "firewall"]
    assert [check.state for check in found] == ["fail", "ok"]
    assert "nobody reaches port 8786" in found[0].message


def test_the_gpus_of_a_new_project_are_none_in_all_regions(gcp: Any) -> None:
    """Google's quota GPUS_ALL_REGIONS is 0 for a new project, whatever the region's own quota."""
    gpus = {"machine": "n1-standard-8", "gpus": Gpus(type="nvidia-tesla-t4")}
    gcp.change("projects/acme", {"quotas": [{"metric": "GPUS_ALL_REGIONS", "limit": 0, "usage": 0}]})
    found = [check for check in check_project(gcp_cluster(**gpus)) if "GPUS_ALL_REGIONS" in check.message]
    assert [check.state for check in found] == ["fail"]
    assert "0 of 0 in use" in found[0].message


A2 = "projects/acme/zones/europe-west4-a/machineTypes/a2-ultragpu-2g"
QUOTAS = "projects/acme/regions/europe-west4"


def test_the_gpus_that_a_machine_type_has_count_for_their_quota_and_for_that_of_all_regions(gcp: Any) -> None:
    """Compute Engine's MachineType has `accelerators`; each type of GPU has a quota of the region."""
    gpus = [{"guestAcceleratorType": "nvidia-a100-80gb", "guestAcceleratorCount": 2}]
    gcp.change(A2, {"guestCpus": 24, "memoryMb": 348160, "accelerators": gpus})
    quotas = [{"metric": "NVIDIA_A100_80GB_GPUS", "limit": 2, "usage": 0}]
    gcp.change(QUOTAS, {"quotas": quotas})
    found = list(check_project(gcp_cluster(machine="a2-ultragpu-2g", workers=Workers(min=1, max=3))))
    failed = [check.message for check in found if check.what == "quota" and check.state == "fail"]
    assert len(failed) == 2, found
    assert "NVIDIA_A100_80GB_GPUS of europe-west4: 0 of 2 in use, 6 more are needed" in failed[0]
    assert "GPUS_ALL_REGIONS of europe-west4: 0 of 4 in use, 6 more are needed" in failed[1]


def test_metrics_are_those_of_compute_engines_interface_description() -> None:
    """The discovery document lists every metric that `regions.get` may report. The families g2, a3 and later have quotas elsewhere."""
    folder = Path(str(importlib.resources.files("googleapiclient"))) / "discovery_cache/documents/compute.v1.json"
    metrics = set(json.loads(folder.read_text())["schemas"]["Quota"]["properties"]["metric"]["enum"])
    types = (
        "nvidia-tesla-t4",
        "nvidia-tesla-v100",
        "nvidia-tesla-p100",
        "nvidia-l4",
        "nvidia-tesla-a100",
        "nvidia-a100-80gb",
    )
    assert {gpu_metric(each) for each in types} <= metrics
    assert f"PREEMPTIBLE_{gpu_metric('nvidia-h100-80gb')}" in metrics
    for machine in ("n2-standard-4", "a2-highgpu-1g", "c3-standard-4", "n2d-standard-2", "n4-standard-4"):
        needed = needed_quotas(gcp_cluster(machine=machine), {"nvidia-l4": 1})
        assert set(needed) - metrics <= {"N4_CPUS"}
    assert "HDB_TOTAL_GB" in needed_quotas(gcp_cluster(machine="n4-standard-4"), {})


def test_an_image_for_other_processors_or_without_a_driver_is_a_failure(gcp: Any) -> None:
    gcp.change("projects/acme/global/images/swath-1", {"status": "READY", "architecture": "X86_64", "family": "swath"})
    machines = "projects/acme/zones/europe-west4-a/machineTypes"
    gcp.change(f"{machines}/t2a-standard-4", {"guestCpus": 4, "architecture": "ARM64"})
    gcp.change(f"{machines}/g2-standard-4", {"guestCpus": 4, "architecture": "X86_64"})
    for machine, message in (
        ("t2a-standard-4", "is for X86_64, t2a-standard-4 is ARM64"),
        ("g2-standard-4", "no driver for GPUs"),
    ):
        found = [check for check in check_project(gcp_cluster(machine=machine)) if check.what == "image"]
        assert [check.state for check in found] == ["fail"]
        assert message in found[0].message


def test_each_machine_of_a_cluster_needs_an_address_where_it_has_a_public_one() -> None:
    workers = Workers(min=1, max=7)
    with_addresses = needed_quotas(gcp_cluster(workers=workers, public_ip=True), {})
    assert with_addresses["IN_USE_ADDRESSES"] == 8  # seven workers and a scheduler
    assert "IN_USE_ADDRESSES" not in needed_quotas(gcp_cluster(workers=workers, public_ip=False), {})


def test_quotas_are_needed_for_all_machines_together() -> None:
    spec = gcp_cluster(
        machine="n2-standard-4", scheduler_machine="e2-medium", workers=Workers(min=1, max=3), disk_gb=50
    )
    plain = spec.model_copy(update={"public_ip": False})
    assert needed_quotas(plain, {}) == {"INSTANCES": 4, "CPUS": 2, "N2_CPUS": 12, "SSD_TOTAL_GB": 200}
    spot = needed_quotas(plain.model_copy(update={"spot": True}), {"nvidia-l4": 2})
    assert spot == {
        "INSTANCES": 4, "CPUS": 2, "PREEMPTIBLE_CPUS": 12, "SSD_TOTAL_GB": 200, "PREEMPTIBLE_NVIDIA_L4_GPUS": 6,
        "GPUS_ALL_REGIONS": 6,
    }  # fmt: skip
    shared = needed_quotas(plain.model_copy(update={"machine": "n1-standard-2"}), {})
    assert shared["CPUS"] == 2 + 6
    assert gpu_metric("nvidia-h100-80gb") == "NVIDIA_H100_GPUS"
    assert gpu_metric("nvidia-a100-80gb") == "NVIDIA_A100_80GB_GPUS"
    assert gpu_metric("nvidia-tesla-t4") == "NVIDIA_T4_GPUS"


@pytest.mark.parametrize(
    ("sources", "ports", "reach"),
    [
        ({"sourceRanges": ["10.128.0.0/9"]}, "1024-65535", True),
        ({"sourceTags": ["swath"]}, "0-65535", True),
        ({"sourceTags": ["web"]}, "0-65535", False),
        ({"sourceTags": ["swath"]}, "1025-65535", False),
        ({"sourceServiceAccounts": ["workers@acme"]}, "0-65535", True),
    ],
)
def test_machines_reach_each_other_by_a_rule_for_them_and_for_all_their_ports(
    gcp: Any, sources: dict[str, Any], ports: str, reach: bool
) -> None:
    rule = {"network": "x/default", "allowed": [{"IPProtocol": "tcp", "ports": [ports]}], **sources}
    other = {"network": "x/default", "sourceRanges": ["192.0.2.0/24"], "allowed": [{"IPProtocol": "tcp"}]}
    gcp.change("projects/acme/global/firewalls", {"items": [rule, other]})
    found = [each for each in check_project(gcp_cluster(service_account="workers@acme")) if each.what == "firewall"]
    assert (found[1].state == "ok") is reach
