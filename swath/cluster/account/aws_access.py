"""Parts of an AWS account that say who may do what: the role of machines, and the policy of clients."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swath.cluster.account.part import LABEL, MARK, AccountPart, PartState, Terraform
from swath.cluster.account.policies import aws_policy
from swath.cluster.providers.aws.api import AwsApi, Response
from swath.cluster.providers.aws.errors import Ec2Error
from swath.errors import SwathError

WORKER, CLIENT, INLINE = "swath-worker", "swath-client", "swath"
PULL = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"
"""AWS's own policy: pull images from the account's repositories."""
TAGS = [{"Key": LABEL, "Value": "made"}]
MISSING = ("NoSuchEntity", "NoSuchBucket", "404", "RepositoryNotFoundException", "InvalidGroup.NotFound")
VERSIONS = 5
"""That a policy may have."""
SPOT_ROLE, SPOT_SERVICE = "AWSServiceRoleForEC2Spot", "spot.amazonaws.com"


def aws_found(aws: AwsApi, service: str, operation: str, arguments: Mapping[str, Any]) -> Response | None:
    """The response; None when there is no such thing."""
    try:
        return aws.call(service, operation, arguments)
    except Ec2Error as error:
        if error.code in MISSING:
            return None
        raise


def ours(tags: list[dict[str, str]]) -> bool:
    """Whether a setup made what has these tags."""
    return any(each["Key"] == LABEL for each in tags)


class AwsPart:
    """What all parts of an account share."""

    def kept(self) -> str:
        return ""

    def unsettled(self, error: SwathError) -> bool:
        return isinstance(error, Ec2Error) and error.code in (
            *MISSING,
            "InvalidParameterValue",  # of an instance profile whose role was made a moment ago
            "MalformedPolicyDocument",  # names such a role
            "OperationAborted",  # another change of the bucket goes on
        )


@dataclass
class WorkerRole(AwsPart):
    """The role of machines, with its policy and the right to pull images, and the instance profile that gives it to them."""

    aws: AwsApi
    places: Mapping[str, str]
    title: str = f"role and instance profile {WORKER}"

    def look(self) -> PartState:
        role = self._iam("get_role", RoleName=WORKER)
        if role is None:
            return PartState("missing")
        mine = ours(role["Role"].get("Tags", []))
        policy = self._iam("get_role_policy", RoleName=WORKER, PolicyName=INLINE)
        if policy is None or policy["PolicyDocument"] != self._policy:
            return PartState("different", "its policy", mine)
        attached = self._iam("list_attached_role_policies", RoleName=WORKER) or {}
        if PULL not in {each["PolicyArn"] for each in attached.get("AttachedPolicies", [])}:
            return PartState("different", "may pull images", mine)
        profile = self._iam("get_instance_profile", InstanceProfileName=WORKER)
        if profile is None or not profile["InstanceProfile"]["Roles"]:
            return PartState("different", "its instance profile", mine)
        return PartState("there", ours=mine)

    def make(self) -> None:
        if self._iam("get_role", RoleName=WORKER) is None:
            trust = json.dumps(aws_policy("aws-worker-trust"))
            text = f"Machines of runs. {MARK}"
            self._call("create_role", RoleName=WORKER, AssumeRolePolicyDocument=trust, Description=text, Tags=TAGS)
        policy = json.dumps(self._policy)
        self._call("put_role_policy", RoleName=WORKER, PolicyName=INLINE, PolicyDocument=policy)
        self._call("attach_role_policy", RoleName=WORKER, PolicyArn=PULL)
        profile = self._iam("get_instance_profile", InstanceProfileName=WORKER)
        if profile is None:
            self._call("create_instance_profile", InstanceProfileName=WORKER, Tags=TAGS)
        if profile is None or not profile["InstanceProfile"]["Roles"]:
            self._call("add_role_to_instance_profile", InstanceProfileName=WORKER, RoleName=WORKER)

    def remove(self) -> None:
        self._iam("remove_role_from_instance_profile", InstanceProfileName=WORKER, RoleName=WORKER)
        self._iam("delete_instance_profile", InstanceProfileName=WORKER)
        self._iam("detach_role_policy", RoleName=WORKER, PolicyArn=PULL)
        self._iam("delete_role_policy", RoleName=WORKER, PolicyName=INLINE)
        self._iam("delete_role", RoleName=WORKER)

    def terraform(self) -> Terraform:
        role = "${aws_iam_role.worker.name}"
        tags = {LABEL: "made"}
        trust = json.dumps(aws_policy("aws-worker-trust"))
        return {
            "aws_iam_role": {
                "worker": {"name": WORKER, "assume_role_policy": trust, "description": MARK, "tags": tags}
            },
            "aws_iam_role_policy": {"worker": {"name": INLINE, "role": role, "policy": json.dumps(self._policy)}},
            "aws_iam_role_policy_attachment": {"worker_pull": {"role": role, "policy_arn": PULL}},
            "aws_iam_instance_profile": {"worker": {"name": WORKER, "role": role, "tags": tags}},
        }

    @property
    def _policy(self) -> dict[str, Any]:
        return aws_policy("aws-worker", **self.places)

    def _iam(self, operation: str, **arguments: Any) -> Response | None:
        return aws_found(self.aws, "iam", operation, arguments)

    def _call(self, operation: str, **arguments: Any) -> None:
        self.aws.call("iam", operation, arguments)


@dataclass
class ClientPolicy(AwsPart):
    """The policy of clients, attached to one user or role."""

    aws: AwsApi
    places: Mapping[str, str]
    client: str
    """user/NAME or role/NAME; empty for the account's root user, who needs no policy."""

    @property
    def title(self) -> str:
        return f"policy {CLIENT}, attached to {self.client}" if self.client else f"policy {CLIENT}"

    def look(self) -> PartState:
        policy = self._iam("get_policy", PolicyArn=self._arn)
        if policy is None:
            return PartState("missing")
        mine = ours(policy["Policy"].get("Tags", []))
        version = policy["Policy"]["DefaultVersionId"]
        document = self._iam("get_policy_version", PolicyArn=self._arn, VersionId=version) or {}
        if document.get("PolicyVersion", {}).get("Document") != self._policy:
            return PartState("different", "its statements", mine)
        if self.client not in self._holders():
            return PartState("different", f"attaches it to {self.client}", mine)
        return PartState("there", ours=mine)

    def make(self) -> None:
        policy, document = self._iam("get_policy", PolicyArn=self._arn), json.dumps(self._policy)
        if policy is None:
            text = f"Runs of pipelines. {MARK}"
            self._call("create_policy", PolicyName=CLIENT, PolicyDocument=document, Description=text, Tags=TAGS)
        else:
            self._make_version(policy["Policy"]["DefaultVersionId"], document)
        kind, _, name = self.client.partition("/")
        if name and self.client not in self._holders():
            self._call(f"attach_{kind}_policy", **{f"{kind.title()}Name": name, "PolicyArn": self._arn})

    def remove(self) -> None:
        for holder in self._holders():
            kind, _, name = holder.partition("/")
            if name:
                self._iam(f"detach_{kind}_policy", **{f"{kind.title()}Name": name, "PolicyArn": self._arn})
        for version in self._versions():
            if not version["IsDefaultVersion"]:
                self._iam("delete_policy_version", PolicyArn=self._arn, VersionId=version["VersionId"])
        self._iam("delete_policy", PolicyArn=self._arn)

    def terraform(self) -> Terraform:
        policy = {"name": CLIENT, "policy": json.dumps(self._policy), "description": MARK, "tags": {LABEL: "made"}}
        kind, _, name = self.client.partition("/")
        made: Terraform = {"aws_iam_policy": {"client": policy}}
        if name:
            made[f"aws_iam_{kind}_policy_attachment"] = {
                "client": {kind: name, "policy_arn": "${aws_iam_policy.client.arn}"}
            }
        return made

    def _make_version(self, current: str, document: str) -> None:
        there = self._iam("get_policy_version", PolicyArn=self._arn, VersionId=current) or {}
        if there.get("PolicyVersion", {}).get("Document") == self._policy:
            return
        versions = self._versions()
        if len(versions) >= VERSIONS:
            oldest = min(
                (each for each in versions if not each["IsDefaultVersion"]), key=lambda each: each["CreateDate"]
            )
            self._call("delete_policy_version", PolicyArn=self._arn, VersionId=oldest["VersionId"])
        self._call("create_policy_version", PolicyArn=self._arn, PolicyDocument=document, SetAsDefault=True)

    def _versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (self._iam("list_policy_versions", PolicyArn=self._arn) or {}).get("Versions", [])
        return found

    def _holders(self) -> set[str]:
        """Who has the policy; nobody is among them, so that root needs no more."""
        holders = self._iam("list_entities_for_policy", PolicyArn=self._arn) or {}
        users = {f"user/{each['UserName']}" for each in holders.get("PolicyUsers", [])}
        return users | {f"role/{each['RoleName']}" for each in holders.get("PolicyRoles", [])} | {""}

    @property
    def _policy(self) -> dict[str, Any]:
        return aws_policy("aws-client", **self.places)

    @property
    def _arn(self) -> str:
        return f"arn:aws:iam::{self.places['ACCOUNT']}:policy/{CLIENT}"

    def _iam(self, operation: str, **arguments: Any) -> Response | None:
        return aws_found(self.aws, "iam", operation, arguments)

    def _call(self, operation: str, **arguments: Any) -> None:
        self.aws.call("iam", operation, arguments)


@dataclass
class SpotRole(AwsPart):
    """The role with which EC2 starts spot machines. AWS allows one in an account, so it stays."""

    aws: AwsApi
    title: str = f"service-linked role {SPOT_ROLE}"

    def look(self) -> PartState:
        path = f"/aws-service-role/{SPOT_SERVICE}/"
        roles = self.aws.call("iam", "list_roles", {"PathPrefix": path})["Roles"]
        return PartState("there" if roles else "missing", ours=True)

    def make(self) -> None:
        self.aws.call("iam", "create_service_linked_role", {"AWSServiceName": SPOT_SERVICE})

    def kept(self) -> str:
        return "others may use it"

    def remove(self) -> None:
        """Nothing."""

    def terraform(self) -> Terraform:
        """Nothing: Terraform could not create it where it is."""
        return {}


_: tuple[type[AccountPart], ...] = (WorkerRole, ClientPolicy, SpotRole)
