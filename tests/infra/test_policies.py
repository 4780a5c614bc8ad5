"""Least privilege: simulated runs need all of the policies in infra/iam, and nothing that is not in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from swath.cluster import daskcluster
from tests.clouds.control import Cloud, started
from tests.clouds.projects import project
from tests.imagery.rasters import write
from tests.infra.policy import ACCOUNT, COMPUTE, IAM, INSERT, Policy, Request, cover, of_run, permissions, requests
from tests.models.tiny_models import write_integer_unet
from tests.process import Pipe

REGION, BUCKET = "us-east-1", "maps"
FAST = {"SWATH_CLOUD_PACE_S": "0.2", "SWATH_CLOUD_QUIET_S": "1"}
JOB = """
from swath import Spec, pipeline, task

class Job(Spec):
    n: int = 1

@task
def square(x):
    return x * x

@pipeline
def squares(spec: Job):
    return square.map(range(spec.n))
"""


def policies() -> dict[str, Policy]:
    places = {"REGION": REGION, "BUCKET": BUCKET}
    return {"client": Policy.read("aws-client", **places), "machine": Policy.read("aws-worker", **places)}


@pytest.fixture
def ec2(tmp_path: Path) -> Iterator[Cloud]:
    with started("ec2", tmp_path / "ec2") as cloud:
        yield cloud


@pytest.fixture
def gce(tmp_path: Path) -> Iterator[Cloud]:
    with started("gce", tmp_path / "gce") as cloud:
        yield cloud


def aws(cloud: Cloud, service: str) -> Any:
    """A client of the simulated account, who is nobody that a policy is about."""
    import botocore.session

    keys = {"aws_access_key_id": "owner", "aws_secret_access_key": "testing"}
    return botocore.session.Session().create_client(service, region_name=REGION, endpoint_url=cloud.endpoint, **keys)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_on_aws_needs_all_of_the_policies_and_nothing_else(ec2: Cloud, pipe: Pipe) -> None:
    s3, iam = aws(ec2, "s3"), aws(ec2, "iam")
    s3.create_bucket(Bucket=BUCKET)
    iam.create_instance_profile(InstanceProfileName="swath-worker")
    pixels = np.kron(np.random.default_rng(7).integers(1, 250, (3, 20, 25)), np.ones((1, 16, 16))).astype(np.uint8)
    write(pipe.folder / "picture.tif", pixels, names=("red", "green", "blue"), nodata=0)
    s3.put_object(Bucket=BUCKET, Key="picture.tif", Body=(pipe.folder / "picture.tif").read_bytes())
    (pipe.folder / "swath.yaml").write_text(f"results: s3://{BUCKET}/results\n")
    cluster = {
        "kind": "aws", "region": REGION, "machine_image": ec2.network["image"], "image": "swath:1", "workers": 1,
        "security_groups": [ec2.network["security_group"]], "profile": "swath-worker", "spot": True, "processes": 1,
    }  # fmt: skip
    spec = pipe.spec(
        imagery={"source": "files", "paths": [f"s3://{BUCKET}/picture.tif"]},
        model=str(write_integer_unet(pipe.folder)),
        region=256,
        output={"to": f"s3://{BUCKET}/out", "blocksize": 64},
        stage=f"s3://{BUCKET}/stage",
        cluster=cluster,
    )
    pipe.env.update(ec2.environment, **FAST)
    pipe("run", spec, timeout=250)
    found = policies()
    refused = cover(ec2.calls(), found, REGION)
    print("\n".join(each.report() for each in found.values()))
    assert refused == []
    assert {name: policy.unused() for name, policy in found.items()} == {"client": [], "machine": []}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_on_google_cloud_needs_all_of_the_role_and_nothing_else(gce: Cloud, tmp_path: Path) -> None:
    pipe = project(tmp_path / "project", gce, public_ip=True)
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "job.py").write_text(JOB)
    (pipe.folder / "spec.yaml").write_text("pipeline: squares\nn: 3\ncluster: cloud\n")
    pipe("run", "spec.yaml", timeout=250)
    calls = [each for each in gce.calls() if each["service"] == "compute"]
    needed = set().union(*(permissions(each["action"], each["parameters"].get("body", {})) for each in calls))
    allowed = set(yaml.safe_load((IAM / "gcp-client.yaml").read_text())["includedPermissions"])
    print("\n".join(f"{'used' if each in needed else 'UNUSED':7} {each}" for each in sorted(allowed | needed)))
    assert needed == allowed


def test_the_role_on_google_cloud_is_what_its_calls_can_need() -> None:
    allowed = set(yaml.safe_load((IAM / "gcp-client.yaml").read_text())["includedPermissions"])
    most = {"compute.instances.create", "compute.disks.setLabels", "compute.subnetworks.useExternalIp"}
    assert allowed == most.union(*COMPUTE.values(), *INSERT.values())


# What the policies refuse

INSTANCE = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/i-1"
RUN = {
    "ImageId": "ami-1",
    "MetadataOptions.HttpTokens": "required",
    "MetadataOptions.HttpPutResponseHopLimit": "1",
    "IamInstanceProfile.Name": "swath-worker",
    "NetworkInterface.1.SubnetId": "subnet-1",
    "NetworkInterface.1.SecurityGroupId.1": "sg-1",
    **{
        f"TagSpecification.{number}.{rest}": value
        for number, kind in ((1, "instance"), (2, "volume"))
        for rest, value in (
            ("ResourceType", kind),
            ("Tag.1.Key", "swath:run"),
            ("Tag.1.Value", "run-1"),
            ("Tag.2.Key", "swath:expires"),
            ("Tag.2.Value", "1800000000"),
        )
    },
}


def allowed(asked: dict[str, str]) -> bool:
    client = policies()["client"]
    return all(client.allows(each) for each in of_run(asked, REGION))


def test_a_machine_as_ours_may_be_run() -> None:
    assert allowed(RUN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MetadataOptions.HttpTokens", "optional"),
        ("MetadataOptions.HttpTokens", None),
        ("MetadataOptions.HttpPutResponseHopLimit", "2"),
        ("TagSpecification.1.Tag.1.Key", "Name"),
        ("TagSpecification.1.Tag.2.Key", "team"),
        ("TagSpecification.2.Tag.1.Key", "Name"),
        ("IamInstanceProfile.Name", "administrator"),
    ],
)
def test_a_machine_without_its_tags_or_with_open_credentials_or_another_role_may_not_be_run(
    name: str, value: str | None
) -> None:
    asked = {key: each for key, each in {**RUN, name: value}.items() if each is not None}
    assert not allowed(asked)


@pytest.mark.parametrize("action", ["ec2:TerminateInstances", "ec2:GetConsoleOutput"])
def test_only_machines_of_runs_may_be_touched(action: str) -> None:
    client = policies()["client"]
    assert client.allows(Request(action, INSTANCE, {"aws:ResourceTag/swath:run": ("run-1",)}))
    assert not client.allows(Request(action, INSTANCE, {"aws:ResourceTag/Name": ("database",)}))


def test_tags_may_not_be_put_on_machines_of_others() -> None:
    client = policies()["client"]
    assert not client.allows(Request("ec2:CreateTags", INSTANCE, {"aws:TagKeys": ("swath:run",)}))


def test_only_one_bucket_may_be_read_and_written() -> None:
    for policy in policies().values():
        call = {"service": "s3", "action": "GetObject", "parameters": {"Bucket": BUCKET, "Key": "a/b"}}
        assert all(policy.allows(each) for each in requests(call, REGION))
        call = {**call, "parameters": {"Bucket": "salaries", "Key": "a/b"}}
        assert not any(policy.allows(each) for each in requests(call, REGION))


def test_machines_may_ask_for_nothing_but_the_bucket() -> None:
    worker = policies()["machine"]
    assert {action.partition(":")[0] for each in worker.statements for action in _actions(each)} == {"s3"}
    (trust,) = json.loads((IAM / "aws-worker-trust.json").read_text())["Statement"]
    assert trust["Principal"] == {"Service": "ec2.amazonaws.com"}


@pytest.mark.parametrize("name", ["aws-client", "aws-worker"])
def test_no_policy_has_a_wildcard_for_actions_or_goes_over_its_limit(name: str) -> None:
    text = (IAM / f"{name}.json").read_text()
    assert not any("*" in action for each in json.loads(text)["Statement"] for action in _actions(each))
    assert len(re.sub(r"\s", "", text)) < 6144, "characters that a managed policy may have"


def _actions(statement: dict[str, Any]) -> list[str]:
    found = statement["Action"]
    return found if isinstance(found, list) else [found]


def test_the_role_on_kubernetes_is_for_what_is_made_there() -> None:
    role = yaml.safe_load((IAM / "kubernetes-client.yaml").read_text())
    given = {(kind, verb) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert daskcluster.GROUP.partition("/")[0] in {group for rule in role["rules"] for group in rule["apiGroups"]}
    made = {"daskclusters", "daskautoscalers", "secrets", "pods/portforward"}
    assert {kind for kind, verb in given if verb == "create"} == made
    assert {kind for kind, verb in given if verb == "delete"} == {"daskclusters", "deployments", "pods"}
    assert not any("*" in (kind, verb) for kind, verb in given)
