"""What `pipe doctor` finds in an AWS account in memory: each check says ok, warns, or fails with what to do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.doctor import aws as module
from swath.cluster.doctor.aws import check_account, compare_quota, covers, needed_cpus, ranges_in
from swath.cluster.doctor.doctor import check_cluster
from swath.cluster.doctor.finding import Finding
from swath.errors import CredentialsError, InfrastructureError
from swath.spec.clusters.cloud import AwsCluster
from swath.spec.clusters.workers import Workers
from tests.cluster.doctor.conftest import aws_cluster, by_name

GOOD: dict[str, Any] = {
    "get_caller_identity": {"Arn": "arn:me"},
    "describe_availability_zones": {
        "AvailabilityZones": [{"ZoneName": "a", "State": "available"}, {"ZoneName": "b", "State": "impaired"}]
    },
    "describe_instance_type_offerings": {
        "InstanceTypeOfferings": [{"InstanceType": "m7i.xlarge"}, {"InstanceType": "t3.medium"}]
    },
    "describe_instance_types": {
        "InstanceTypes": [
            {
                "InstanceType": name,
                "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
                "VCpuInfo": {"DefaultVCpus": cpus},
            }
            for name, cpus in (("m7i.xlarge", 4), ("t3.medium", 2))
        ]
    },
    "describe_images": {
        "Images": [
            {"ImageId": "ami-1", "CreationDate": "2025", "State": "failed", "Architecture": "arm64"},
            {"ImageId": "ami-2", "CreationDate": "2026", "State": "available", "Architecture": "x86_64", "Name": "n"},
        ]
    },
    "describe_subnets": {
        "Subnets": [
            {"SubnetId": "subnet-1", "VpcId": "vpc-1", "CidrBlock": "10.1.1.0/24", "AvailableIpAddressCount": 3},
            {"SubnetId": "subnet-2", "VpcId": "vpc-1", "CidrBlock": "10.1.2.0/24", "AvailableIpAddressCount": 2},
        ]
    },
    "describe_security_groups": {
        "SecurityGroups": [
            {
                "GroupId": "sg-1",
                "VpcId": "vpc-1",
                "IpPermissions": [
                    {"IpProtocol": "tcp", "FromPort": 8786, "ToPort": 8786, "IpRanges": [{"CidrIp": "192.0.2.0/24"}]},
                    {"IpProtocol": "tcp", "FromPort": 1024, "ToPort": 65535, "UserIdGroupPairs": [{"GroupId": "sg-1"}]},
                ],
                "IpPermissionsEgress": [{"IpProtocol": "-1"}],
            }
        ]
    },
    "get_instance_profile": {"InstanceProfile": {"Roles": [{"RoleName": "workers"}]}},
    "get_service_quota": {"Quota": {"Value": 64.0}},
}


class FakeAccount:
    """The answers of an account, and what was asked."""

    def __init__(self) -> None:
        self.answers = copy.deepcopy(GOOD)
        self.asked: list[tuple[str, Any]] = []

    def call(self, service: str, operation: str, arguments: Mapping[str, Any] = GOOD) -> Any:
        self.asked.append((operation, arguments))
        answer = self.answers[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def of(self, operation: str, key: str) -> Any:
        return self.answers[operation][key]


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> FakeAccount:
    made = FakeAccount()

    def api(region: str, limits: Any) -> FakeAccount:
        made.region = region  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr(module, "AwsApi", api)
    return made


def found(**fields: Any) -> dict[str, list[Finding]]:
    known = {
        "region": "eu-central-1", "image": "x", "machine": "m7i.xlarge", "subnet": "subnet-1", "security_groups": ["sg-1"],
        "profile": "workers", "machine_image": "ami-2", "workers": Workers(min=1, max=4), "scheduler_machine": "t3.medium",
    }  # fmt: skip
    by_name: dict[str, list[Finding]] = {}
    for each in check_account(AwsCluster(kind="aws", **known | fields)):
        by_name.setdefault(each.what, []).append(each)
    return by_name


def states(findings: dict[str, list[Finding]]) -> dict[str, list[str]]:
    return {what: [each.state for each in of] for what, of in findings.items()}


def problem(what: str, **fields: Any) -> tuple[str, str]:
    """State and message of the one finding that is not ok; the others are."""
    every = found(**fields)
    [bad] = [each for of in every.values() for each in of if each.state != "ok"]
    assert bad.what == what
    return bad.state, bad.message


def test_an_account_that_is_ready_is_ok_in_all(memory: FakeAccount) -> None:
    every = found()
    assert states(every) == {
        "credentials": ["ok"], "region": ["ok"], "machines": ["ok"], "image": ["ok"], "subnet": ["ok"],
        "network": ["ok", "ok"], "profile": ["ok"], "quota": ["ok"],
    }  # fmt: skip
    assert every["region"][0].message == "eu-central-1: a"
    assert every["machines"][0].message == "m7i.xlarge, t3.medium"
    assert every["image"][0].message == "ami-2: n (ami-2)"
    assert every["subnet"][0].message == "subnet-1, subnet-2: 5 free addresses"
    assert "port 8786 is open to 192.0.2.0/24" in every["network"][0].message
    assert every["profile"][0].message == "workers: role workers"
    assert every["quota"][0].message == "L-1216C47A: 18 of 64 virtual CPUs, less what runs already"


@pytest.mark.parametrize(("operation", "left"), [("get_caller_identity", 1), ("describe_availability_zones", 2)])
def test_nothing_else_is_checked_without_credentials_or_a_region(
    memory: FakeAccount, operation: str, left: int
) -> None:
    memory.answers[operation] = InfrastructureError("no answer")
    assert len(found()) == left


def test_a_region_without_a_zone_that_is_up_ends_the_checks(memory: FakeAccount) -> None:
    memory.of("describe_availability_zones", "AvailabilityZones")[0]["State"] = "impaired"
    assert states(found()) == {"credentials": ["ok"], "region": ["fail"]}


@pytest.mark.parametrize("removed", [["m7i.xlarge"], ["m7i.xlarge", "t3.medium"]])
def test_machine_types_that_the_region_lacks_are_named(memory: FakeAccount, removed: list[str]) -> None:
    offered = memory.of("describe_instance_type_offerings", "InstanceTypeOfferings")
    memory.answers["describe_instance_type_offerings"]["InstanceTypeOfferings"] = [
        each for each in offered if each["InstanceType"] not in removed
    ]
    state, message = problem("machines")
    assert (state, message.partition(":")[0]) == ("fail", f"eu-central-1 has no {' and no '.join(removed)}")


def test_each_problem_of_the_machine_image_is_told(memory: FakeAccount) -> None:
    state, message = problem("image", machine_image=None)
    assert (state, message.partition(":")[0]) == ("warn", "plain Ubuntu")
    newest = memory.of("describe_images", "Images")[1]
    newest["State"] = "pending"
    assert problem("image")[1].startswith("ami-2 is not there or not ready")
    newest |= {"State": "available", "Architecture": "arm64"}
    assert problem("image")[1] == "ami-2 is for arm64, m7i.xlarge is not"
    memory.answers["describe_images"] = {"Images": []}
    assert problem("image")[1].startswith("ami-2 is not there or not ready")
    state, message = problem("image", machine_image=None)
    assert (state, message.partition(":")[0]) == ("fail", "eu-central-1 has no image of Ubuntu")


def test_gpus_need_an_image_with_their_driver(memory: FakeAccount) -> None:
    worker, scheduler = memory.of("describe_instance_types", "InstanceTypes")
    scheduler["GpuInfo"] = {"Gpus": [{"Manufacturer": "NVIDIA"}]}
    assert not [each for of in found().values() for each in of if each.state != "ok"], "the scheduler needs none"
    worker["GpuInfo"] = scheduler["GpuInfo"]
    assert "has GPUs, and Ubuntu's own image no driver" in problem("image", machine_image=None)[1]
    newest = memory.of("describe_images", "Images")[1]
    for name, state in (("swath", "fail"), ("swath-gpu", "ok")):
        newest["Tags"] = [{"Key": "Name", "Value": name}]
        assert found()["image"][0].state == state


def test_subnets_have_addresses_for_all_machines(memory: FakeAccount) -> None:
    assert found(workers=Workers(min=1, max=4))["subnet"][0].state == "ok"
    state, message = problem("subnet", workers=Workers(min=1, max=5))
    assert (state, "5 free addresses, 6 are needed" in message) == ("fail", True)
    found(subnet=None)
    assert dict(memory.asked)["describe_subnets"]["Filters"] == [{"Name": "default-for-az", "Values": ["true"]}]
    memory.answers["describe_subnets"] = {"Subnets": []}
    state, message = problem("subnet", subnet=None)
    assert (state, "no default VPC" in message) == ("fail", True)


def group(memory: FakeAccount) -> Any:
    return memory.of("describe_security_groups", "SecurityGroups")[0]


def test_groups_of_another_network_are_named(memory: FakeAccount) -> None:
    group(memory)["VpcId"] = "vpc-2"
    state, message = problem("network")
    assert (state, message.partition(":")[0]) == ("fail", "sg-1 is not of the subnet's VPC vpc-1")


@pytest.mark.parametrize(
    ("rule", "reach"),
    [
        ({"IpRanges": [{"CidrIp": "10.1.0.0/16"}]}, True),
        ({"IpRanges": [{"CidrIp": "10.1.1.0/25"}]}, False),
        ({"UserIdGroupPairs": [{"GroupId": "sg-1"}], "FromPort": 1025}, False),
        ({"UserIdGroupPairs": [{"GroupId": "sg-2"}]}, False),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
    ],
)
def test_machines_reach_each_other_by_their_group_or_by_the_range_of_their_subnet(
    memory: FakeAccount, rule: dict[str, Any], reach: bool
) -> None:
    group(memory)["IpPermissions"][1] = {"IpProtocol": "tcp", "FromPort": 1024, "ToPort": 65535, **rule}
    message = "sg-1: machines reach each other" if reach else "sg-1 does not let machines reach each other"
    assert found()["network"][1].message.startswith(message)


def test_a_group_that_is_closed_in_both_directions_is_told(memory: FakeAccount) -> None:
    group(memory)["IpPermissionsEgress"] = []
    assert "lets nothing out" in problem("network")[1]
    group(memory)["IpPermissions"][0]["IpRanges"] = [{"CidrIp": "0.0.0.0/0"}]
    first, second, third = found()["network"]
    assert (first.state, second.state, third.state) == ("warn", "ok", "fail")
    group(memory)["IpPermissions"] = []
    first, second, third = found()["network"]
    assert "--port 8786 --cidr YOUR.ADDRESS/32" in first.message
    assert "--source-group sg-1" in second.message


@pytest.mark.parametrize(
    ("rule", "first", "last", "covered"),
    [
        ({"IpProtocol": "-1"}, 0, 65535, True),
        ({"IpProtocol": "tcp"}, 0, 65535, True),
        ({"IpProtocol": "6", "FromPort": 5, "ToPort": 9}, 5, 9, True),
        ({"IpProtocol": "tcp", "FromPort": 6, "ToPort": 9}, 5, 9, False),
        ({"IpProtocol": "tcp", "FromPort": 5, "ToPort": 8}, 5, 9, False),
        ({"IpProtocol": "udp", "FromPort": 5, "ToPort": 9}, 5, 9, False),
    ],
)
def test_a_rule_covers_all_ports_or_does_not(rule: dict[str, Any], first: int, last: int, covered: bool) -> None:
    assert covers(rule, first, last) is covered


def test_ranges_of_all_kinds_are_listed_once() -> None:
    rule = {
        "IpProtocol": "tcp",
        "IpRanges": [{"CidrIp": "a"}],
        "Ipv6Ranges": [{"CidrIpv6": "b"}],
        "PrefixListIds": [{"PrefixListId": "c"}],
    }
    assert ranges_in([rule, rule, {"IpProtocol": "udp", "IpRanges": [{"CidrIp": "d"}]}], 1, 2) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (CredentialsError("no"), "warn", "this account may not look"),
        (InfrastructureError("gone"), "fail", "workers is not there: gone"),
        ({"InstanceProfile": {"Roles": []}}, "fail", "workers has no role"),
    ],
)
def test_a_profile_that_is_not_there_or_has_no_role_is_told(
    memory: FakeAccount, answer: Any, state: str, said: str
) -> None:
    memory.answers["get_instance_profile"] = answer
    found_state, message = problem("profile", profile="arn:aws:iam::1:instance-profile/workers")
    assert (found_state, said in message) == (state, True)
    assert problem("profile", profile=None)[0] == "warn"


def test_quotas_that_cannot_be_read_are_warnings(memory: FakeAccount) -> None:
    memory.answers["get_service_quota"] = InfrastructureError("no")
    state, message = problem("quota")
    assert (state, message) == ("warn", "L-1216C47A cannot be read: no; 18 virtual CPUs are needed")
    assert states(found(spot=True))["quota"] == ["warn", "warn"]
    memory.answers["describe_instance_types"] = InfrastructureError("none")
    assert found()["quota"][0].message == "not known: none"


@pytest.mark.parametrize(("needed", "state"), [(63, "ok"), (64, "ok"), (65, "fail")])
def test_a_quota_is_enough_up_to_its_value(needed: int, state: str) -> None:
    assert compare_quota("eu-central-1", "L-1", needed, 64).state == state


# --- on a simulated AWS


@pytest.mark.slow
def test_an_account_without_problems_has_no_failure(account: dict[str, str]) -> None:
    found = list(check_cluster(aws_cluster(account), ["s3://pixels/results"]))
    assert not [each for each in found if each.state == "fail"]
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


# --- without an account


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names for a spec, and credentials that nobody takes."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return {"subnet": "subnet-1", "good": "sg-1", "image": "ami-1"}


def test_a_region_without_an_answer_ends_the_checks(named: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    found = list(check_account(aws_cluster(named)))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 5)]


def test_missing_credentials_are_exit_code_4_and_end_the_checks(
    named: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    found = list(check_account(aws_cluster(named)))
    assert [(check.what, check.exit_code) for check in found] == [("credentials", 4)]
    assert "aws configure" in found[0].message


def test_virtual_cpus_count_for_the_quota_of_their_machine_type(named: dict[str, str]) -> None:
    cpus = {"m7i.xlarge": 4, "t3.medium": 2, "g5.2xlarge": 8, "inf2.xlarge": 4}
    ten = aws_cluster(named, machine="m7i.xlarge", workers=Workers(min=1, max=10))
    assert needed_cpus(ten, cpus) == {"L-1216C47A": 42}
    assert needed_cpus(ten.model_copy(update={"spot": True}), cpus) == {"L-1216C47A": 2, "L-34B43A08": 40}
    assert needed_cpus(ten.model_copy(update={"machine": "g5.2xlarge"}), cpus) == {
        "L-1216C47A": 2,
        "L-DB2E81BA": 80,
    }
    assert needed_cpus(ten.model_copy(update={"machine": "inf2.xlarge"}), cpus) == {"L-1216C47A": 2}
    assert compare_quota("r", "L-1", 42, 64).state == "ok"
    assert "request-service-quota-increase" in compare_quota("r", "L-1", 42, 32).message
