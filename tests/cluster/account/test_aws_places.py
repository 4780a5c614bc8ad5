"""The bucket, the repository of images and the security group of an AWS account."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.account.aws_places import CLOSED, KEPT_IMAGES, EcrRepository, MachineGroup, S3Bucket
from swath.cluster.account.part import LABEL, STAGED_DAYS, UPLOAD_DAYS, PartState
from swath.cluster.machine.entrypoint import PORT
from swath.cluster.providers.aws.errors import Ec2Error
from swath.errors import InfrastructureError
from tests.cluster.account.fake_aws import FakeAws

HERE, VPN, V6 = "192.0.2.7/32", "198.51.100.0/24", "2001:db8::/64"


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


def bucket(aws: FakeAws, **fields: Any) -> S3Bucket:
    return S3Bucket(aws, "acme-maps", "maps", **fields)  # type: ignore[arg-type]


def group(aws: FakeAws, *ranges: str, vpc: str = "") -> MachineGroup:
    return MachineGroup(aws, vpc, ranges)  # type: ignore[arg-type]


def test_a_bucket_is_closed_and_removes_staged_files_and_cut_uploads(aws: FakeAws) -> None:
    bucket(aws).make()
    made = aws.buckets["acme-maps"]
    assert made["closed"] == CLOSED == dict.fromkeys(CLOSED, True)
    stale, cut = made["rules"]
    assert (stale["Filter"]["Prefix"], stale["Expiration"]) == ("maps/stage/", {"Days": STAGED_DAYS})
    assert cut["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": UPLOAD_DAYS}
    assert bucket(aws).look() == PartState("there", ours=True)


def test_the_first_region_is_named_by_no_constraint() -> None:
    aws = FakeAws("us-east-1")
    bucket(aws).make()
    assert aws.buckets["acme-maps"]["region"] == "us-east-1"


def test_changed_rules_of_an_own_bucket_are_changed_back_and_no_second_one_is_made(aws: FakeAws) -> None:
    bucket(aws).make()
    del aws.buckets["acme-maps"]["rules"]
    assert bucket(aws).look().state == "different"
    aws.buckets["acme-maps"]["rules"] = []
    assert bucket(aws).look().state == "different"
    bucket(aws).make()
    assert bucket(aws).look().state == "there"
    assert aws.done.count("create_bucket") == 1


def test_a_bucket_of_others_keeps_its_rules_and_another_region_is_told(aws: FakeAws) -> None:
    aws.buckets["acme-maps"] = {"region": "eu-central-1"}
    assert bucket(aws).look() == PartState("there", "not made by a setup: its rules stay")
    aws.buckets["acme-maps"] = {"region": "us-west-2", "tags": [{"Key": "team", "Value": LABEL}]}
    assert "it is in us-west-2" in bucket(aws).look().note
    assert not bucket(aws).look().ours
    aws.buckets["acme-maps"] = {"region": None}
    assert "it is in" not in bucket(aws).look().note


@pytest.mark.parametrize("operation", ["get_bucket_tagging", "get_bucket_lifecycle_configuration"])
def test_a_refusal_is_no_bucket_without_rules(aws: FakeAws, operation: str) -> None:
    bucket(aws).make()
    aws.refusals[operation] = "AccessDenied"
    with pytest.raises(Ec2Error, match="AccessDenied"):
        bucket(aws).look()


def test_a_bucket_with_content_stays_unless_it_may_go(aws: FakeAws, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[tuple[str, str]] = []
    places = "swath.cluster.account.aws_places"
    monkeypatch.setattr(f"{places}.kept_content", lambda scheme, name: f"{scheme}://{name} has content")
    monkeypatch.setattr(f"{places}.remove_content", lambda scheme, name: emptied.append((scheme, name)))
    bucket(aws).make()
    assert bucket(aws).kept() == "s3://acme-maps has content"
    assert bucket(aws, with_content=True).kept() == ""
    bucket(aws, with_content=True).remove()
    assert emptied == [("s3", "acme-maps")]
    bucket(aws).remove()
    assert (len(emptied), aws.buckets) == (1, {})


def test_a_repository_scans_its_images_and_keeps_the_newest(aws: FakeAws) -> None:
    part = EcrRepository(aws, "1")  # type: ignore[arg-type]
    assert part.look() == PartState("missing")
    part.make()
    [rule] = aws.repositories["swath"]["policy"]["rules"]
    assert rule["selection"]["countNumber"] == KEPT_IMAGES
    assert rule["rulePriority"] == 1
    assert part.look() == PartState("there", ours=True)
    aws.repositories["swath"]["tags"] = []
    assert part.look() == PartState("there")
    written = part.terraform()["aws_ecr_repository"]["swath"]
    assert written["image_scanning_configuration"] == {"scan_on_push": True}
    assert written["force_delete"] is True


def test_a_security_group_lets_in_the_given_ranges_and_machines_of_runs(aws: FakeAws) -> None:
    part = group(aws, HERE, V6)
    assert f"tcp {PORT} from {HERE}, {V6}" in part.title
    assert (part.look(), part.group_id()) == (PartState("missing"), "")
    part.make()
    assert (part.look(), part.group_id()) == (PartState("there", ours=True), "sg-1")
    among, first, second = aws.groups[0]["IpPermissions"]
    assert (among["FromPort"], among["ToPort"], among["UserIdGroupPairs"][0]["GroupId"]) == (0, 65535, "sg-1")
    assert (first["FromPort"], first["ToPort"], first["IpRanges"][0]["CidrIp"]) == (PORT, PORT, HERE)
    assert second["Ipv6Ranges"][0]["CidrIpv6"] == V6
    part.make()
    assert len(aws.groups[0]["IpPermissions"]) == 3


def test_ranges_are_added_and_taken_away(aws: FakeAws) -> None:
    group(aws, HERE).make()
    moved = group(aws, VPN, V6)
    assert moved.look() == PartState("different", f"was from {HERE}", True)
    moved.make()
    assert moved.look() == PartState("there", ours=True)
    group(aws, HERE).make()
    assert group(aws, HERE).look().state == "there"
    aws.groups[0]["IpPermissions"] = aws.groups[0]["IpPermissions"][:1]
    assert group(aws, HERE).look().note == "was from nowhere"
    aws.groups[0]["Tags"] = []
    assert not group(aws, HERE).look().ours


def test_a_rule_for_more_ports_than_the_schedulers_is_not_a_setups(aws: FakeAws) -> None:
    group(aws, HERE).make()
    wide = {"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT + 1, "IpRanges": [{"CidrIp": VPN}]}
    aws.groups[0]["IpPermissions"].append(wide)
    assert group(aws, HERE).look().state == "there"


def test_a_rule_that_is_there_already_is_no_error_and_any_other_refusal_is(aws: FakeAws) -> None:
    aws.refusals["authorize_security_group_ingress"] = "InvalidPermission.Duplicate"
    group(aws, HERE).make()
    aws.refusals["authorize_security_group_ingress"] = "RulesPerSecurityGroupLimitExceeded"
    with pytest.raises(Ec2Error, match="Limit"):
        group(aws, HERE).make()


def test_the_group_is_of_the_named_network_or_of_the_default_one(aws: FakeAws) -> None:
    group(aws, HERE, vpc="vpc-1").make()
    assert group(aws, HERE).look() == PartState("missing")
    group(aws, HERE).make()
    assert [each["VpcId"] for each in aws.groups] == ["vpc-1", "vpc-default"]
    group(aws, HERE).remove()
    assert [each["VpcId"] for each in aws.groups] == ["vpc-1"]
    group(aws, HERE).remove()
    aws.vpcs = []
    with pytest.raises(InfrastructureError, match="no default VPC"):
        group(aws, HERE).look()


def test_terraform_has_one_rule_for_each_range(aws: FakeAws) -> None:
    rules = group(aws, HERE, V6).terraform()["aws_vpc_security_group_ingress_rule"]
    assert list(rules) == ["client_1", "client_2", "machines"]
    assert (rules["client_1"]["cidr_ipv4"], rules["client_2"]["cidr_ipv6"]) == (HERE, V6)
    assert (rules["machines"]["from_port"], rules["machines"]["to_port"]) == (0, 65535)
    closed = bucket(aws).terraform()["aws_s3_bucket_public_access_block"]["maps"]
    assert [value for name, value in closed.items() if name != "bucket"] == [True] * 4
    assert group(aws, HERE).terraform()["aws_security_group"]["machines"]["vpc_id"] == "${data.aws_vpc.default.id}"
    assert group(aws, HERE, vpc="vpc-1").terraform()["aws_security_group"]["machines"]["vpc_id"] == "vpc-1"
