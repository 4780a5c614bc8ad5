"""`pipe doctor` of a cloud, in simulated ones: everything in order, and each thing that is wrong with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.doctor import aws as aws_doctor
from swath.cluster.doctor import gcp as gcp_doctor
from swath.cluster.doctor.doctor import Check, bucket, checks, container, failed
from swath.errors import CredentialsError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster, Gpus
from swath.spec.clusters.workers import Workers
from swath.version import __version__
from tests.cluster.fake_compute import compute_engine
from tests.imagery.servers import simulated_s3
from tests.process import Pipe

NETWORK = """
import json, sys
import botocore.session
session = botocore.session.get_session()
ec2, iam = (session.create_client(name, region_name="us-east-1") for name in ("ec2", "iam"))
vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]
def group(name):
    return ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
good, closed = group("good"), group("closed")
tcp = {"IpProtocol": "tcp"}
ec2.authorize_security_group_ingress(GroupId=good, IpPermissions=[
    {**tcp, "FromPort": 8786, "ToPort": 8786, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]},
    {**tcp, "FromPort": 0, "ToPort": 65535, "UserIdGroupPairs": [{"GroupId": good}]},
])
iam.create_instance_profile(InstanceProfileName="workers")
trust = json.dumps({"Version": "2012-10-17", "Statement": []})
iam.create_role(RoleName="workers", AssumeRolePolicyDocument=trust)
iam.add_role_to_instance_profile(InstanceProfileName="workers", RoleName="workers")
image = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"][0]["ImageId"]
print(json.dumps({"subnet": subnet, "good": good, "closed": closed, "image": image}))
"""
"""In a process of its own: the account of a simulated AWS, as an administrator leaves it."""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The environment that leads to a simulated AWS, and what is there."""
    folder = tmp_path_factory.mktemp("bucket")
    (folder / "here").write_text("something")
    with simulated_s3(folder) as environment:
        done = subprocess.run(
            [sys.executable, "-c", NETWORK],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        yield environment, json.loads(done.stdout)


@pytest.fixture
def account(aws: tuple[dict[str, str], dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in aws[0].items():
        monkeypatch.setenv(name, value)
    return aws[1]


def aws_cluster(account: dict[str, str], **fields: Any) -> AwsCluster:
    known = {
        "region": "us-east-1", "image": f"ghcr.io/acme/swath:{__version__}", "machine": "m5.xlarge", "subnet": account["subnet"],
        "security_groups": [account["good"]], "profile": "workers", "machine_image": account["image"],
    }  # fmt: skip
    return AwsCluster(kind="aws", **{**known, **fields})


def by_name(found: list[Check]) -> dict[str, list[Check]]:
    names: dict[str, list[Check]] = {}
    for check in found:
        names.setdefault(check.what, []).append(check)
    return names


@pytest.mark.slow
def test_an_account_that_is_in_order_has_no_failure(account: dict[str, str]) -> None:
    found = list(checks(aws_cluster(account), ["s3://pixels/results"]))
    assert not [check for check in found if check.state == "fail"]
    names = by_name(found)
    looked = (
        "credentials",
        "region",
        "machines",
        "image",
        "subnet",
        "network",
        "profile",
        "quota",
        "container",
        "bucket",
    )
    assert list(names) == list(looked)
    assert all(check.state == "ok" for what in looked if what != "quota" for check in names[what])


@pytest.mark.parametrize(
    ("fields", "what", "said"),
    [
        ({"machine": "m99.huge"}, "machines", "us-east-1 has no m99.huge: set cluster.machine"),
        ({"machine_image": "ami-00000000000000000"}, "image", "machine_image"),
        ({"machine": "m6g.xlarge"}, "image", "is for x86_64, m6g.xlarge is not"),
        ({"subnet": "subnet-0"}, "subnet", "set cluster.subnet"),
        ({"workers": Workers(min=1, max=1000)}, "subnet", "1001 are needed"),
        ({"security_groups": ["sg-0"]}, "network", "set cluster.security_groups"),
        ({"profile": "nobody"}, "profile", "nobody is not there"),
    ],
)
def test_what_is_wrong_in_the_account_is_told_with_what_to_do(
    account: dict[str, str], fields: dict[str, Any], what: str, said: str
) -> None:
    found = [check for check in aws_doctor.account(aws_cluster(account, **fields)) if check.state == "fail"]
    assert [(check.what, check.exit_code) for check in found] == [(what, 5)]
    assert said in found[0].said


def test_a_closed_group_names_the_commands_that_open_it(account: dict[str, str]) -> None:
    found = [
        c.said
        for c in aws_doctor.account(aws_cluster(account, security_groups=[account["closed"]]))
        if c.state == "fail"
    ]
    assert len(found) == 2
    assert all("aws ec2 authorize-security-group-ingress" in said for said in found)


def test_a_region_that_does_not_exist_is_the_end_of_looking(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    found = list(aws_doctor.account(aws_cluster(account)))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 5)]


def test_missing_credentials_are_exit_code_4_and_the_end_of_looking(
    account: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    found = list(aws_doctor.account(aws_cluster(account)))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 4)]
    assert "aws configure" in found[0].said


def test_virtual_cpus_are_counted_for_the_quota_that_they_are_of(account: dict[str, str]) -> None:
    cpus = {"m7i.xlarge": 4, "t3.medium": 2, "g5.2xlarge": 8, "inf2.xlarge": 4}
    ten = aws_cluster(account, machine="m7i.xlarge", workers=Workers(min=1, max=10))
    assert aws_doctor.needs(ten, cpus) == {"L-1216C47A": 42}
    assert aws_doctor.needs(ten.model_copy(update={"spot": True}), cpus) == {"L-1216C47A": 2, "L-34B43A08": 40}
    assert aws_doctor.needs(ten.model_copy(update={"machine": "g5.2xlarge"}), cpus) == {
        "L-1216C47A": 2,
        "L-DB2E81BA": 80,
    }
    assert aws_doctor.needs(ten.model_copy(update={"machine": "inf2.xlarge"}), cpus) == {"L-1216C47A": 2}
    assert aws_doctor.compared("r", "L-1", 42, 64).state == "ok"
    assert "request-service-quota-increase" in aws_doctor.compared("r", "L-1", 42, 32).said


def test_a_bucket_that_is_not_there_or_a_folder_of_this_machine_is_told(
    account: dict[str, str], tmp_path: Path
) -> None:
    assert bucket("s3://pixels/results").state == "ok"
    assert bucket("s3://nowhere-at-all/results").state == "fail"
    assert "machines in a cloud do not see it" in bucket(str(tmp_path)).said


def test_only_a_container_of_this_version_is_ok() -> None:
    assert container(f"registry:5000/swath:{__version__}-gpu").state == "ok"
    assert container("registry:5000/swath").state == container("swath:latest").state == "warn"


@pytest.mark.slow
def test_the_command_looks_at_a_cluster_and_its_exit_code_tells_whose_fault_it_is(
    pipe: Pipe, aws: tuple[dict[str, str], dict[str, str]]
) -> None:
    environment, there = aws
    closed = aws_cluster(there, security_groups=[there["closed"]]).model_dump(exclude_none=True)
    said = {"clusters": {"closed": closed}, "results": "s3://pixels/results"}
    (pipe.folder / "swath.yaml").write_text(json.dumps(said))
    assert "no cluster 'colsed'" in pipe("doctor", "--cluster", "colsed", code=2).err
    done = pipe("doctor", "--cluster", "closed", "--json", env=environment, code=5)
    found = {finding["what"]: finding["state"] for finding in json.loads(done.out)}
    assert found["credentials"] == found["bucket"] == "ok"
    assert found["price"] == "warn", "the table does not have every machine type"
    assert found["network"] == "fail"


# --- Google Cloud


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with compute_engine(tmp_path_factory.mktemp("gcp")) as made:
        yield made


@pytest.fixture
def gcp(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    engine.restore()
    return engine


def gcp_cluster(**fields: Any) -> GcpCluster:
    known = {"project": "acme", "zone": "europe-west4-a", "image": "x", "machine_image": "swath-1"}
    return GcpCluster(kind="gcp", **{**known, **fields})


def test_a_project_that_is_in_order_has_no_failure(gcp: Any) -> None:
    found = list(gcp_doctor.project(gcp_cluster(gpus=Gpus(type="nvidia-tesla-t4"), machine="n1-standard-4")))
    assert not [check for check in found if check.state != "ok"]
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
    ("fields", "what", "said"),
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
def test_what_is_wrong_in_the_project_is_told_with_what_to_do(
    gcp: Any, fields: dict[str, Any], what: str, said: str
) -> None:
    found = [
        check for check in gcp_doctor.project(gcp_cluster(**fields)) if check.state == "fail" and check.what == what
    ]
    assert [check.exit_code for check in found] == [5]
    assert said in found[0].said


def test_a_network_without_rules_names_the_commands_that_open_it(gcp: Any) -> None:
    gcp.change("projects/acme/global/firewalls", {"items": []})
    found = [check.said for check in gcp_doctor.project(gcp_cluster()) if check.what == "firewall"]
    assert len(found) == 2
    assert all("gcloud compute firewall-rules create" in said for said in found)


def test_rules_that_are_disabled_for_others_or_for_other_ports_do_not_count() -> None:
    rule = {"network": "n/default", "allowed": [{"IPProtocol": "tcp", "ports": ["22", "8000-9000"]}]}
    assert gcp_doctor.applies(rule, "default", None)
    assert not gcp_doctor.applies({**rule, "disabled": True}, "default", None)
    assert not gcp_doctor.applies({**rule, "targetTags": ["web"]}, "default", None)
    assert not gcp_doctor.applies({**rule, "direction": "EGRESS"}, "default", None)
    assert not gcp_doctor.applies(rule, "other", None)
    assert gcp_doctor.allows(rule, 8786, 8786)
    assert not gcp_doctor.allows(rule, 1024, 65535)


def test_credentials_that_are_not_taken_are_exit_code_4_and_the_end_of_looking(gcp: Any) -> None:
    gcp.refuse(401)
    found = list(gcp_doctor.project(gcp_cluster()))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 4)]


def test_an_account_that_may_only_make_machines_is_told_what_it_may_not_look_at(gcp: Any) -> None:
    gcp.refuse(403)
    found = list(gcp_doctor.project(gcp_cluster()))
    assert {check.state for check in found[1:]} == {"warn"}
    assert found[0].state == "ok"
    assert len(found) >= 6


def test_what_an_account_may_not_look_at_is_a_failure_only_where_a_run_needs_it() -> None:
    error = CredentialsError("denied", remedy="ask")
    assert failed("image", error).exit_code == 4
    assert failed("network", error, needed=False).state == "warn"
