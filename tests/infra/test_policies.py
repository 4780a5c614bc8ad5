"""Least privilege: what the policies in infra/iam refuse. tests/e2e/test_clouds.py tests that runs need all of them and no more."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from swath.cluster.providers.gcp.launch import instance_name
from swath.cluster.providers.kubernetes.api import OPERATOR_GROUP
from tests.infra.policy import ACCOUNT, COMPUTE, IAM, INSERT, Policy, Request, of_run, requests
from tests.process import ROOT

REGION, BUCKET, PREFIX = "us-east-1", "maps", "rivers/2026"


def policies() -> dict[str, Policy]:
    places = {"REGION": REGION, "BUCKET": BUCKET, "PREFIX": PREFIX}
    return {"client": Policy.read("aws-client", **places), "machine": Policy.read("aws-worker", **places)}


def test_the_role_on_google_cloud_is_what_its_calls_can_need() -> None:
    allowed = set(yaml.safe_load((IAM / "gcp-client.yaml").read_text())["includedPermissions"])
    most = {"compute.instances.create", "compute.disks.setLabels", "compute.subnetworks.useExternalIp"}
    assert allowed == most.union(*COMPUTE.values(), *INSERT.values())


def test_machines_may_do_nothing_but_delete_machines_of_runs() -> None:
    role = yaml.safe_load((IAM / "gcp-self-removal.yaml").read_text())
    assert role["includedPermissions"] == ["compute.instances.delete"]
    bound = (IAM.parents[1] / "docs/iam.md").read_text().partition("roles/swathSelfRemoval")[2].partition("```")[0]
    prefix = instance_name("any-run-worker-1").partition("any")[0]
    assert f'extract("/instances/{{name}}").startsWith("{prefix}")' in bound


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


@pytest.mark.parametrize("who", ["client", "machine"])
def test_only_objects_below_the_prefix_may_be_read_and_written(who: str) -> None:
    policy = policies()[who]

    def may(action: str, bucket: str, key: str) -> bool:
        call = {"service": "s3", "action": action, "parameters": {"Bucket": bucket, "Key": key}}
        return all(policy.allows(each) for each in requests(call, REGION))

    for action in ("GetObject", "PutObject", "CreateMultipartUpload", "AbortMultipartUpload"):
        assert may(action, BUCKET, f"{PREFIX}/results/ab/cdef")
        for bucket, key in (
            ("salaries", f"{PREFIX}/results/ab/cdef"),
            (BUCKET, "other/results/ab/cdef"),
            (BUCKET, f"{PREFIX}-other/map.tif"),
            (BUCKET, "map.tif"),
            (BUCKET, f"other/{PREFIX}/map.tif"),
        ):
            assert not may(action, bucket, key), (action, bucket, key)


@pytest.mark.parametrize("who", ["client", "machine"])
def test_only_names_below_the_prefix_may_be_listed(who: str) -> None:
    def may(bucket: str, prefix: str) -> bool:
        call = {"service": "s3", "action": "ListObjectsV2", "parameters": {"Bucket": bucket, "prefix": prefix}}
        return all(policies()[who].allows(each) for each in requests(call, REGION))

    assert may(BUCKET, PREFIX)
    assert may(BUCKET, f"{PREFIX}/results/")
    assert not may(BUCKET, "other/")
    assert not may("salaries", f"{PREFIX}/")


def test_no_statement_about_objects_is_without_the_prefix() -> None:
    for policy in policies().values():
        for statement in policy.statements:
            if any(action.startswith("s3:") and action != "s3:ListBucket" for action in _actions(statement)):
                assert statement["Resource"] == f"arn:aws:s3:::{BUCKET}/{PREFIX}/*"


def test_the_role_on_google_storage_is_bound_with_the_prefix() -> None:
    condition = yaml.safe_load((IAM / "gcp-worker-condition.yaml").read_text())
    assert condition["expression"].split(" || ") == [
        'resource.name.startsWith("projects/_/buckets/BUCKET/objects/PREFIX/")',
        'api.getAttribute("storage.googleapis.com/objectListPrefix", "").startsWith("PREFIX/")',
    ]
    page = (IAM.parents[1] / "docs/iam.md").read_text()
    binding = page.partition("buckets add-iam-policy-binding")[2].partition("done")[0]
    assert "--condition-from-file=/tmp/condition.yaml" in binding
    role = yaml.safe_load((IAM / "gcp-worker.yaml").read_text())
    assert {each.rpartition(".")[0] for each in role["includedPermissions"]} == {"storage.objects"}


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


def test_the_role_on_kubernetes_has_the_rights_for_the_manifests() -> None:
    role = yaml.safe_load((IAM / "kubernetes-client.yaml").read_text())
    given = {(kind, verb) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert OPERATOR_GROUP.partition("/")[0] in {group for rule in role["rules"] for group in rule["apiGroups"]}
    made = {"daskclusters", "daskautoscalers", "secrets", "pods/portforward"}
    assert {kind for kind, verb in given if verb == "create"} == made
    assert {kind for kind, verb in given if verb == "delete"} == {"daskclusters", "deployments", "pods"}
    assert not any("*" in (kind, verb) for kind, verb in given)


# --- the commands of docs/iam.md


def commands() -> str:
    return (ROOT / "docs" / "iam.md").read_text()


def test_every_policy_and_role_that_is_created_is_given_to_somebody() -> None:
    """A policy of IAM grants nothing before it is attached; a role of Google's nothing before it is bound."""
    for name in re.findall(r"aws iam create-policy --policy-name (\S+)", commands()):
        assert re.search(rf"aws iam attach-\S+-policy .*policy/{name}", commands()), name
    for name in re.findall(r"gcloud iam roles create (\S+)", commands()):
        assert re.search(rf"add-iam-policy-binding [^`]*roles/{name}", commands()), name


def test_the_account_of_machines_may_pull_from_artifact_registry() -> None:
    """Reading a repository needs roles/artifactregistry.reader: no other role here has it."""
    assert re.search(
        r"gcloud artifacts repositories add-iam-policy-binding [^`]*serviceAccount:swath-worker[^`]*roles/artifactregistry\.reader",
        commands(),
    )
