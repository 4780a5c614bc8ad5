"""An account of a simulated AWS, as an administrator leaves it, and a project of a simulated Google Cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from swath.cluster.doctor.finding import Finding
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.version import __version__
from tests.cluster.fake_compute import compute_engine
from tests.imagery.servers import simulated_s3

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
"""Runs in a process of its own: creates the network, security groups and instance profile of an account."""


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Environment of a client of the simulated AWS, and the ids of what is there."""
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


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with compute_engine(tmp_path_factory.mktemp("gcp")) as engine:
        yield engine


@pytest.fixture
def gcp(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    engine.restore()
    return engine


def gcp_cluster(**fields: Any) -> GcpCluster:
    known = {"project": "acme", "zone": "europe-west4-a", "image": "x", "machine_image": "swath-1"}
    return GcpCluster(kind="gcp", **{**known, **fields})


def by_name(findings: list[Finding]) -> dict[str, list[Finding]]:
    """Findings by what was checked."""
    names: dict[str, list[Finding]] = {}
    for finding in findings:
        names.setdefault(finding.what, []).append(finding)
    return names
