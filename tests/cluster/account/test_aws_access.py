"""The role of machines and the policy of clients: what counts as different, and how it is changed back."""

from __future__ import annotations

import pytest

from swath.cluster.account.aws_access import PULL, ClientPolicy, SpotRole, WorkerRole, aws_found, ours
from swath.cluster.account.part import LABEL, PartState
from swath.cluster.providers.aws.errors import Ec2Error
from swath.errors import InfrastructureError
from tests.cluster.account.fake_aws import ACCOUNT, FakeAws, refused

PLACES = {"ACCOUNT": ACCOUNT, "REGION": "eu-central-1", "BUCKET": "acme-maps", "PREFIX": "maps"}
ARN = f"arn:aws:iam::{ACCOUNT}:policy/swath-client"


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


def worker(aws: FakeAws) -> WorkerRole:
    return WorkerRole(aws, PLACES)  # type: ignore[arg-type]


def client(aws: FakeAws, name: str = "user/me") -> ClientPolicy:
    return ClientPolicy(aws, PLACES, name)  # type: ignore[arg-type]


def test_what_is_not_there_is_nothing_and_any_other_refusal_is_an_error(aws: FakeAws) -> None:
    assert aws_found(aws, "iam", "get_role", {"RoleName": "x"}) is None  # type: ignore[arg-type]
    aws.refusals["get_role"] = "Throttling"
    with pytest.raises(Ec2Error, match="Throttling"):
        aws_found(aws, "iam", "get_role", {"RoleName": "x"})  # type: ignore[arg-type]


def test_tags_tell_what_a_setup_made() -> None:
    assert ours([{"Key": "Name", "Value": LABEL}, {"Key": LABEL, "Value": "made"}])
    assert not ours([{"Key": "Name", "Value": LABEL}])
    assert not ours([])


def test_errors_that_go_away_by_themselves(aws: FakeAws) -> None:
    assert worker(aws).unsettled(refused("NoSuchEntity"))
    assert worker(aws).unsettled(refused("MalformedPolicyDocument"))
    assert not worker(aws).unsettled(refused("LimitExceeded"))
    assert not worker(aws).unsettled(InfrastructureError("NoSuchEntity"))


def test_each_difference_of_the_role_of_machines_is_found_and_changed_back(aws: FakeAws) -> None:
    part = worker(aws)
    part.make()
    assert part.look() == PartState("there", ours=True)
    aws.roles["swath-worker"]["policies"]["swath"] = {}
    assert part.look() == PartState("different", "its policy", True)
    aws.roles["swath-worker"]["policies"].clear()
    assert part.look() == PartState("different", "its policy", True)
    part.make()
    aws.roles["swath-worker"]["attached"] = ["arn:other"]
    assert part.look() == PartState("different", "may pull images", True)
    part.make()
    assert aws.roles["swath-worker"]["attached"] == [PULL]
    aws.profiles["swath-worker"]["in"] = []
    assert part.look() == PartState("different", "its instance profile", True)
    part.make()
    assert part.look() == PartState("there", ours=True)
    aws.profiles.clear()
    assert part.look() == PartState("different", "its instance profile", True)
    part.make()
    assert part.look() == PartState("there", ours=True)
    assert aws.done.count("create_role") == 1
    aws.roles["swath-worker"]["tags"] = []
    assert part.look() == PartState("there", ours=False)


def test_the_policy_of_clients_is_changed_back_in_a_new_version(aws: FakeAws) -> None:
    part = client(aws)
    assert part.title == "policy swath-client, attached to user/me"
    part.make()
    assert part.look() == PartState("there", ours=True)
    part.make()
    assert aws.done.count("create_policy_version") == 0, "the version is that which is there"
    aws.policies[ARN]["versions"][0]["document"] = {}
    assert part.look() == PartState("different", "its statements", True)
    part.make()
    assert part.look() == PartState("there", ours=True)
    assert [each["IsDefaultVersion"] for each in aws.policies[ARN]["versions"]] == [False, True]


def test_the_oldest_version_makes_room_for_a_sixth_one(aws: FakeAws) -> None:
    part = client(aws)
    part.make()
    for _ in range(5):
        aws.policies[ARN]["versions"][-1]["document"] = {}
        part.make()
    assert sorted(each["VersionId"] for each in aws.policies[ARN]["versions"]) == ["v2", "v3", "v4", "v5", "v6"]
    assert aws.done.count("delete_policy_version") == 1
    part.remove()
    assert not aws.policies


def test_the_policy_is_attached_to_whoever_runs_pipelines_and_taken_from_all(aws: FakeAws) -> None:
    client(aws).make()
    another = client(aws, "role/ci")
    assert another.look() == PartState("different", "attaches it to role/ci", True)
    another.make()
    assert aws.policies[ARN]["holders"] == [("UserName", "me"), ("RoleName", "ci")]
    another.make()
    assert len(aws.policies[ARN]["holders"]) == 2
    root = client(aws, "")
    assert root.title == "policy swath-client"
    assert root.look().state == "there"
    root.remove()
    assert not aws.policies


def test_terraform_attaches_the_policy_to_the_client_if_there_is_one(aws: FakeAws) -> None:
    attached = client(aws, "role/ci").terraform()["aws_iam_role_policy_attachment"]["client"]
    assert attached == {"role": "ci", "policy_arn": "${aws_iam_policy.client.arn}"}
    assert list(client(aws, "").terraform()) == ["aws_iam_policy"]


def test_the_role_of_spot_machines_is_made_where_there_is_none(aws: FakeAws) -> None:
    part = SpotRole(aws)  # type: ignore[arg-type]
    assert part.look() == PartState("missing", ours=True)
    part.make()
    assert part.look() == PartState("there", ours=True)
