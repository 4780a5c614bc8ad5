"""Calls of EC2, with the responses of a service in memory: pages, what is not found, consoles, images."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import pytest

from swath.cluster.providers.aws.api import AwsApi, AwsLimits, Ec2Api, image_query
from swath.cluster.providers.aws.errors import Ec2Error
from swath.cluster.providers.aws.fleet import Ec2Fleet
from swath.cluster.providers.aws.launch import UBUNTU, Ec2Provider
from swath.cluster.providers.machine import Machine
from swath.errors import CredentialsError, InfrastructureError, UsageError
from swath.spec.clusters.cloud import AwsCluster


def refused(code: str) -> Ec2Error:
    return Ec2Error(code, code=code)


class FakeEc2:
    """In place of AwsApi: the next answers of each operation, and what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name: list(each) for name, each in answers.items()}
        self.asked: list[tuple[str, Any]] = []

    def call(self, service: str, operation: str, arguments: Mapping[str, Any]) -> Any:
        assert service == "ec2"
        self.asked.append((operation, dict(arguments)))
        answer = self.answers[operation].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def api(**answers: Any) -> tuple[Ec2Api, FakeEc2]:
    made, fake = Ec2Api("eu-central-1"), FakeEc2(**answers)
    made._aws = fake  # type: ignore[assignment]
    return made, fake


def groups(*ids: str) -> dict[str, Any]:
    return {"Reservations": [{"Instances": [{"InstanceId": each}]} for each in ids]}


def test_all_pages_of_a_listing_are_read() -> None:
    ec2, fake = api(describe_instances=[groups("i-1", "i-2") | {"NextToken": "t"}, groups("i-3")])
    assert [each["InstanceId"] for each in ec2.instances({"Name": "tag:x"})] == ["i-1", "i-2", "i-3"]
    assert ["NextToken" in arguments for _, arguments in fake.asked] == [False, True]
    assert fake.asked[0][1]["Filters"][1]["Values"] == ["pending", "running", "stopping", "stopped"]


def test_an_instance_that_is_not_known_is_none() -> None:
    ec2, _ = api(
        describe_instances=[groups("i-1"), groups(), refused("InvalidInstanceID.NotFound"), refused("Throttled")]
    )
    assert ec2.instance("i-1") == {"InstanceId": "i-1"}
    assert ec2.instance("i-1") is None
    assert ec2.instance("i-1") is None
    with pytest.raises(Ec2Error, match="Throttled"):
        ec2.instance("i-1")


def test_a_console_is_asked_for_as_it_is_now_and_as_it_was_at_boot_where_that_is_not_supported() -> None:
    ec2, fake = api(
        get_console_output=[
            {"Output": "a"},
            refused("Unsupported"),
            {"Output": "b"},
            refused("InvalidInstanceID.x"),
            {},
        ]
    )
    assert [ec2.console("i-1") for _ in range(4)] == ["a", "b", "", ""]
    assert [arguments.get("Latest", False) for _, arguments in fake.asked] == [True, True, False, True, True]


def test_the_newest_image_of_a_family_is_taken() -> None:
    old, new = {"ImageId": "ami-1", "CreationDate": "2025"}, {"ImageId": "ami-2", "CreationDate": "2026"}
    ec2, fake = api(
        describe_images=[{"Images": [{"ImageId": "ami-0"}, new, old]}, {"Images": []}, {"Images": [old, new]}]
    )
    assert ec2.image("family/swath") == new
    assert fake.asked[0][1] == image_query("family/swath")
    with pytest.raises(Ec2Error, match="the machine image ami-9 does not exist"):
        ec2.image("ami-9")
    assert ec2.images("self", "swath-*") == [new, old]
    assert image_query("ami-9") == {"ImageIds": ["ami-9"]}


def test_default_subnets_are_by_zone_and_types_by_name() -> None:
    subnets = [{"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone} for zone in "ba"]
    ec2, fake = api(describe_subnets=[{"Subnets": subnets}], describe_instance_types=[{"InstanceTypes": []}])
    assert ec2.default_subnets() == ["subnet-a", "subnet-b"]
    assert ec2.instance_types(["m", "a", "m"]) == {}
    assert fake.asked[-1][1] == {"InstanceTypes": ["a", "m"]}


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (botocore.exceptions.NoCredentialsError(), CredentialsError, "no credentials for AWS"),
        (botocore.exceptions.ProfileNotFound(profile="x"), CredentialsError, "no credentials for AWS"),
        (
            botocore.exceptions.EndpointConnectionError(endpoint_url="x"),
            InfrastructureError,
            "EC2 in eu-1 does not answer",
        ),
        (OSError("cut"), InfrastructureError, "EC2 in eu-1 does not answer: cut"),
        (
            botocore.exceptions.ClientError({"Error": {"Code": "Throttling", "Message": "slow"}}, "x"),
            Ec2Error,
            "EC2, eu-1: Throttling: slow",
        ),
        (botocore.exceptions.ClientError({"Error": {"Code": "AuthFailure"}}, "x"), CredentialsError, "AuthFailure"),
    ],
)
def test_errors_of_the_library_are_errors_of_swath(error: Exception, kind: type[Exception], said: str) -> None:
    def fail(**arguments: Any) -> None:
        raise error

    aws = AwsApi("eu-1", AwsLimits(attempts=2))
    aws._clients["ec2"] = SimpleNamespace(describe=fail)
    with pytest.raises(kind, match=said):
        aws.call("ec2", "describe")
    assert aws._config.retries["total_max_attempts"] == 2


# --- the fleet


def fleet(**answers: Any) -> tuple[Ec2Fleet, FakeEc2]:
    made = Ec2Fleet("eu-central-1")
    made._ec2, fake = api(**answers)
    return made, fake


def machines(*ids: str) -> list[Machine]:
    return [Machine(each, each, "r", "worker", 0, "", "") for each in ids]


def test_machines_are_those_of_a_run_or_of_all() -> None:
    here, fake = fleet(describe_instances=[groups(), groups()])
    assert (here.machines("r"), here.machines()) == ([], [])
    assert [arguments["Filters"][0] for _, arguments in fake.asked] == [
        {"Name": "tag:swath:run", "Values": ["r"]}, {"Name": "tag-key", "Values": ["swath:run"]},
    ]  # fmt: skip


GONE, STUCK = refused("InvalidInstanceID.NotFound"), refused("OperationNotPermitted")


@pytest.mark.parametrize(
    ("ids", "answers", "asked", "error"),
    [
        ((), [], 0, False),
        (("a", "b"), [{}], 1, False),
        (("a",), [GONE, GONE], 2, False),
        (("a",), [STUCK], 1, True),
        (("a", "b", "c"), [GONE, GONE, STUCK, {}], 4, True),
        (("a", "b"), [STUCK, {}, {}], 3, False),
    ],
)
def test_one_machine_that_cannot_be_terminated_does_not_keep_the_others(
    ids: tuple[str, ...], answers: list[Any], asked: int, error: bool
) -> None:
    here, fake = fleet(terminate_instances=answers)
    if error:
        with pytest.raises(Ec2Error, match="OperationNotPermitted"):
            here.terminate(machines(*ids))
    else:
        here.terminate(machines(*ids))
    assert len(fake.asked) == asked


# --- launching


GPU = {"GpuInfo": {"Gpus": [{"Manufacturer": "NVIDIA"}]}}
TYPE: dict[str, Any] = {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}}


def provider(monkeypatch: pytest.MonkeyPatch, types: dict[str, Any], **fields: Any) -> Ec2Provider:
    monkeypatch.setattr(Ec2Api, "instance_types", lambda self, names: dict.fromkeys(names, TYPE) | types)
    known = {"region": "eu-central-1", "image": "x", "security_groups": ["sg-1"], "machine": "m7i.xlarge"}
    return Ec2Provider(AwsCluster(kind="aws", **known | fields))


def test_gpus_need_an_image_with_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"m7i\.xlarge has GPUs"):
        provider(monkeypatch, {"m7i.xlarge": TYPE | GPU})
    assert provider(monkeypatch, {"m7i.xlarge": TYPE | GPU}, machine_image="ami-1").gpus
    assert not provider(monkeypatch, {"m7i.xlarge": {**TYPE, "GpuInfo": {"Gpus": [{"Manufacturer": "AMD"}]}}}).gpus
    assert not provider(monkeypatch, {}).gpus


@pytest.mark.parametrize(("architecture", "named"), [("x86_64", "amd64"), ("arm64", "arm64")])
def test_ubuntus_newest_image_is_for_the_processors_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, architecture: str, named: str
) -> None:
    made = provider(monkeypatch, {"m7i.xlarge": {"ProcessorInfo": {"SupportedArchitectures": [architecture]}}})
    asked: list[str] = []
    there: dict[str, list[dict[str, str]]] = {}

    def images(self: Any, owner: str, name: str) -> list[dict[str, str]]:
        asked.append(name)
        return there.get(name, [])

    monkeypatch.setattr(Ec2Api, "images", images)
    names = [each.format(architecture=named) for each in UBUNTU]
    with pytest.raises(InfrastructureError, match=f"no image of Ubuntu .* for {named}"):
        made._image("m7i.xlarge")
    assert asked == names
    there[names[1]] = [{"ImageId": "ami-jammy"}, {"ImageId": "ami-old"}]
    assert made._image("m7i.xlarge") == {"ImageId": "ami-jammy"}
    assert made._image("m7i.xlarge") == {"ImageId": "ami-jammy"}
    assert len(asked) == 4, "it is remembered"


@pytest.mark.parametrize(
    ("instance", "state", "ended"),
    [
        (None, "", False),
        ({"State": {"Name": "pending"}}, "pending", False),
        ({"State": {"Name": "running"}, "StateReason": {"Message": "m"}}, "running: m", False),
        ({"State": {"Name": "shutting-down"}}, "shutting-down", True),
    ],
)
def test_a_machine_has_ended_unless_it_is_pending_or_running(
    monkeypatch: pytest.MonkeyPatch, instance: Any, state: str, ended: bool
) -> None:
    made = provider(monkeypatch, {})
    monkeypatch.setattr(
        Ec2Api, "instance", lambda self, name: instance and {**instance, "PrivateIpAddress": "10.0.0.1"}
    )
    found = made.status(machines("a")[0])
    assert (found.state, found.ended, found.private_ip, found.public_ip) == (
        state,
        ended,
        "10.0.0.1" * bool(instance),
        "",
    )
