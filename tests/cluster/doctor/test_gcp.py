from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.doctor.gcp import allows, applies, check_project
from swath.spec.clusters.cloud import Gpus
from swath.spec.clusters.workers import Workers
from tests.cluster.doctor.conftest import by_name, gcp_cluster


def test_a_project_without_problems_has_no_failure(gcp: Any) -> None:
    found = list(check_project(gcp_cluster(gpus=Gpus(type="nvidia-tesla-t4"), machine="n1-standard-4")))
    assert not [each for each in found if each.state != "ok"]
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
        ({"gpus": Gpus(type="nvidia-none")}, "gpus", "acceleratorTypes"),
        ({"gpus": Gpus(type="nvidia-tesla-t4", count=8)}, "gpus", "at most 4"),
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
