"""All parts of an AWS account: made once, looked at, changed back, removed; settings; whose rights they are."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.account.aws import TERRAFORM_ACCOUNT, AwsAccount
from swath.cluster.account.part import look_at, make_parts, remove_parts, to_remove
from swath.cluster.account.wanted import WantedAccount
from swath.errors import UsageError
from tests.cluster.account.fake_aws import ACCOUNT, FakeAws

WANTED: dict[str, Any] = {
    "region": "eu-central-1",
    "bucket": "acme-maps",
    "prefix": "maps/rivers",
    "allow": ("192.0.2.7/32",),
    "client": "user/me",
}


def account(aws: FakeAws, **fields: Any) -> AwsAccount:
    made = AwsAccount(WantedAccount(**WANTED | fields))
    vars(made)["_aws"] = aws
    return made


def said(done: str, part: object) -> None:
    """Nothing."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    monkeypatch.setattr("swath.cluster.account.aws_places.kept_content", lambda scheme, bucket: "")
    return FakeAws()


def test_a_setup_makes_all_parts_once_and_a_removal_leaves_only_the_role_of_spot_machines(aws: FakeAws) -> None:
    parts = account(aws).parts()
    assert [state.state for _, state in look_at(parts)] == ["missing"] * 6
    make_parts(look_at(parts), said)
    assert [(state.state, state.ours) for _, state in look_at(parts)] == [("there", True)] * 6
    done = len(aws.done)
    make_parts(look_at(parts), said)
    assert len(aws.done) == done
    listed = to_remove(look_at(parts))
    assert [reason for _, reason in listed] == ["others may use it", "", "", "", "", ""]
    remove_parts([part for part, reason in listed if not reason], said)
    assert [aws.buckets, aws.repositories, aws.profiles, aws.policies, aws.groups] == [{}, {}, {}, {}, []]
    assert list(aws.roles) == ["AWSServiceRoleForEC2Spot"]
    remove_parts(parts, said)  # what is gone is no error


def test_policies_name_the_account_the_bucket_and_the_prefix(aws: FakeAws) -> None:
    make_parts(look_at(account(aws).parts()), said)
    text = str(aws.policies[f"arn:aws:iam::{ACCOUNT}:policy/swath-client"]["versions"])
    assert f":{ACCOUNT}:instance/*" in text
    assert "arn:aws:s3:::acme-maps/maps/rivers/*" in text
    assert not {"ACCOUNT", "REGION", "BUCKET", "PREFIX"} & set(text.replace("/", " ").replace(":", " ").split())


def test_a_module_without_a_question_has_terraforms_name_of_the_account(aws: FakeAws) -> None:
    aws.refusals["get_caller_identity"] = "ExpiredToken"
    parts = account(aws).parts(offline=True)
    assert TERRAFORM_ACCOUNT in str(parts[3].terraform())


@pytest.mark.parametrize(
    ("arn", "client"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/team/me", "user/me"),
        (f"arn:aws:iam::{ACCOUNT}:root", ""),
    ],
)
def test_the_rights_are_for_who_signs_in(aws: FakeAws, arn: str, client: str) -> None:
    aws.arn = arn
    assert vars(account(aws, client="").parts()[3])["client"] == client


@pytest.mark.parametrize(
    ("fields", "offline", "message"),
    [
        ({"client": "me"}, False, "me is no client"),
        ({"client": "group/me"}, False, "group/me is no client"),
        ({"client": ""}, True, r"will run pipelines\n"),
        ({"client": ""}, False, "assumed-role/x/y is no user of this account"),
    ],
)
def test_who_runs_pipelines_has_to_be_known(aws: FakeAws, fields: dict[str, str], offline: bool, message: str) -> None:
    aws.arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/x/y"
    with pytest.raises(UsageError, match=message):
        account(aws, **fields).parts(offline=offline)


def test_a_removal_asks_for_no_client(aws: FakeAws) -> None:
    aws.arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/x/y"
    assert vars(account(aws, client="", removing=True).parts()[3])["client"] == ""


def test_settings_name_what_was_made(aws: FakeAws) -> None:
    planned = account(aws).settings()["clusters"]["cloud"]
    assert planned["security_groups"] == ["sg-..."]
    assert "subnet" not in planned
    make_parts(look_at(account(aws).parts()), said)
    settings = account(aws).settings()
    assert settings["results"] == "s3://acme-maps/maps/rivers/results"
    cluster = settings["clusters"]["cloud"]
    assert cluster["security_groups"] == ["sg-1"]
    assert cluster["profile"] == "swath-worker"
    assert cluster["image"].startswith(f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/swath:")
    assert cluster["workers"] == {"min": 1, "max": 4}


def test_settings_of_a_network_have_its_subnets_by_zone(aws: FakeAws) -> None:
    cluster = account(aws, network="vpc-1").settings()["clusters"]["cloud"]
    assert (cluster["subnet"], cluster["subnets"]) == ("subnet-a", ["subnet-b"])
    aws.subnets = {"eu-central-1a": "subnet-a"}
    cluster = account(aws, network="vpc-1").settings()["clusters"]["cloud"]
    assert (cluster["subnet"], "subnets" in cluster) == ("subnet-a", False)
    aws.subnets = {}
    assert "subnet" not in account(aws, network="vpc-1").settings()["clusters"]["cloud"]


def test_the_default_vpc_is_looked_up_by_terraform_unless_a_network_is_named(aws: FakeAws) -> None:
    assert account(aws).provider()["data"]["aws_vpc"] == {"default": {"default": True}}
    assert "aws_vpc" not in account(aws, network="vpc-1").provider()["data"]
