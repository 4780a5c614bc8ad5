"""An AWS account in memory: the calls that a setup makes, answered as AWS does, and noted by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from swath.cluster.providers.aws.errors import Ec2Error

ACCOUNT = "123456789012"
Arguments = Mapping[str, Any]


def refused(code: str) -> Ec2Error:
    """The error of a response with a code."""
    return Ec2Error(f"AWS: {code}", code=code)


class FakeAws:
    """In place of AwsApi. What is there is in the public attributes."""

    def __init__(self, region: str = "eu-central-1") -> None:
        self.region = region
        self.done: list[str] = []
        """Operations that change something."""
        self.buckets: dict[str, dict[str, Any]] = {}
        self.repositories: dict[str, dict[str, Any]] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self.profiles: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.groups: list[dict[str, Any]] = []
        self.vpcs = ["vpc-default"]
        self.subnets = {"eu-central-1b": "subnet-b", "eu-central-1a": "subnet-a"}
        self.arn = f"arn:aws:iam::{ACCOUNT}:user/team/me"
        self.refusals: dict[str, str] = {}
        """Operation -> code with which it is refused."""

    def call(self, service: str, operation: str, arguments: Arguments = MappingProxyType({})) -> dict[str, Any]:
        if code := self.refusals.get(operation):
            raise refused(code)
        if not operation.startswith(("get_", "list_", "describe_", "head_")):
            self.done.append(operation)
        function: Callable[[Arguments], dict[str, Any] | None] = getattr(self, f"_{operation}")
        return function(arguments) or {}

    # --- who asks, networks

    def _get_caller_identity(self, given: Arguments) -> dict[str, Any]:
        return {"Account": ACCOUNT, "Arn": self.arn}

    def _describe_vpcs(self, given: Arguments) -> dict[str, Any]:
        assert given["Filters"] == [{"Name": "is-default", "Values": ["true"]}]
        return {"Vpcs": [{"VpcId": each} for each in self.vpcs]}

    def _describe_subnets(self, given: Arguments) -> dict[str, Any]:
        assert given["Filters"] == [{"Name": "vpc-id", "Values": ["vpc-1"]}]
        return {"Subnets": [{"AvailabilityZone": zone, "SubnetId": each} for zone, each in self.subnets.items()]}

    # --- buckets

    def _bucket(self, given: Arguments) -> dict[str, Any]:
        found: dict[str, Any] = _of(self.buckets, given["Bucket"], "404")
        return found

    def _head_bucket(self, given: Arguments) -> dict[str, Any]:
        return {"BucketRegion": self._bucket(given)["region"]}

    def _create_bucket(self, given: Arguments) -> None:
        place = given.get("CreateBucketConfiguration", {}).get("LocationConstraint")
        if (place or "us-east-1") != self.region or place == "us-east-1":
            raise refused("InvalidLocationConstraint")
        self.buckets[given["Bucket"]] = {"region": self.region}

    def _put_bucket_tagging(self, given: Arguments) -> None:
        self._bucket(given)["tags"] = given["Tagging"]["TagSet"]

    def _get_bucket_tagging(self, given: Arguments) -> dict[str, Any]:
        return {"TagSet": _of(self._bucket(given), "tags", "NoSuchTagSet")}

    def _put_public_access_block(self, given: Arguments) -> None:
        self._bucket(given)["closed"] = given["PublicAccessBlockConfiguration"]

    def _put_bucket_lifecycle_configuration(self, given: Arguments) -> None:
        self._bucket(given)["rules"] = given["LifecycleConfiguration"]["Rules"]

    def _get_bucket_lifecycle_configuration(self, given: Arguments) -> dict[str, Any]:
        return {"Rules": _of(self._bucket(given), "rules", "NoSuchLifecycleConfiguration")}

    def _delete_bucket(self, given: Arguments) -> None:
        self._bucket(given)
        del self.buckets[given["Bucket"]]

    # --- repositories

    def _describe_repositories(self, given: Arguments) -> dict[str, Any]:
        [name] = given["repositoryNames"]
        _of(self.repositories, name, "RepositoryNotFoundException")
        return {"repositories": [{"repositoryArn": f"arn:{name}"}]}

    def _create_repository(self, given: Arguments) -> None:
        assert given["imageScanningConfiguration"] == {"scanOnPush": True}
        self.repositories[given["repositoryName"]] = {"tags": given["tags"]}

    def _put_lifecycle_policy(self, given: Arguments) -> None:
        self.repositories[given["repositoryName"]]["policy"] = json.loads(given["lifecyclePolicyText"])

    def _list_tags_for_resource(self, given: Arguments) -> dict[str, Any]:
        return {"tags": self.repositories[given["resourceArn"].removeprefix("arn:")]["tags"]}

    def _delete_repository(self, given: Arguments) -> None:
        _of(self.repositories, given["repositoryName"], "RepositoryNotFoundException")
        assert given["force"] is True
        del self.repositories[given["repositoryName"]]

    # --- roles and instance profiles

    def _role(self, given: Arguments) -> dict[str, Any]:
        found: dict[str, Any] = _of(self.roles, given["RoleName"], "NoSuchEntity")
        return found

    def _get_role(self, given: Arguments) -> dict[str, Any]:
        return {"Role": {"Tags": self._role(given)["tags"]}}

    def _create_role(self, given: Arguments) -> None:
        self.roles[given["RoleName"]] = {"tags": given["Tags"], "policies": {}, "attached": [], "trust": given}

    def _put_role_policy(self, given: Arguments) -> None:
        self._role(given)["policies"][given["PolicyName"]] = json.loads(given["PolicyDocument"])

    def _get_role_policy(self, given: Arguments) -> dict[str, Any]:
        return {"PolicyDocument": _of(self._role(given)["policies"], given["PolicyName"], "NoSuchEntity")}

    def _delete_role_policy(self, given: Arguments) -> None:
        del self._role(given)["policies"][given["PolicyName"]]

    def _attach_role_policy(self, given: Arguments) -> None:
        if given["PolicyArn"] in self.policies:
            self.policies[given["PolicyArn"]]["holders"].append(("RoleName", given["RoleName"]))
        else:
            self._role(given)["attached"] = [given["PolicyArn"]]

    def _detach_role_policy(self, given: Arguments) -> None:
        if given["PolicyArn"] in self.policies:
            self.policies[given["PolicyArn"]]["holders"].remove(("RoleName", given["RoleName"]))
        else:
            self._role(given)["attached"].remove(given["PolicyArn"])

    def _list_attached_role_policies(self, given: Arguments) -> dict[str, Any]:
        return {"AttachedPolicies": [{"PolicyArn": each} for each in self._role(given)["attached"]]}

    def _delete_role(self, given: Arguments) -> None:
        role = self._role(given)
        if (
            role["policies"]
            or role["attached"]
            or any(given["RoleName"] in each["in"] for each in self.profiles.values())
        ):
            raise refused("DeleteConflict")
        del self.roles[given["RoleName"]]

    def _get_instance_profile(self, given: Arguments) -> dict[str, Any]:
        profile = _of(self.profiles, given["InstanceProfileName"], "NoSuchEntity")
        return {"InstanceProfile": {"Roles": [{"RoleName": each} for each in profile["in"]]}}

    def _create_instance_profile(self, given: Arguments) -> None:
        if given["InstanceProfileName"] in self.profiles:
            raise refused("EntityAlreadyExists")
        self.profiles[given["InstanceProfileName"]] = {"in": []}

    def _add_role_to_instance_profile(self, given: Arguments) -> None:
        profile = _of(self.profiles, given["InstanceProfileName"], "NoSuchEntity")
        if profile["in"]:
            raise refused("LimitExceeded")
        profile["in"] = [given["RoleName"]]

    def _remove_role_from_instance_profile(self, given: Arguments) -> None:
        _of(self.profiles, given["InstanceProfileName"], "NoSuchEntity")["in"].remove(given["RoleName"])

    def _delete_instance_profile(self, given: Arguments) -> None:
        if _of(self.profiles, given["InstanceProfileName"], "NoSuchEntity")["in"]:
            raise refused("DeleteConflict")
        del self.profiles[given["InstanceProfileName"]]

    # --- policies

    def _policy(self, given: Arguments) -> dict[str, Any]:
        found: dict[str, Any] = _of(self.policies, given["PolicyArn"], "NoSuchEntity")
        return found

    def _get_policy(self, given: Arguments) -> dict[str, Any]:
        policy = self._policy(given)
        [default] = [each["VersionId"] for each in policy["versions"] if each["IsDefaultVersion"]]
        return {"Policy": {"Tags": policy["tags"], "DefaultVersionId": default}}

    def _create_policy(self, given: Arguments) -> None:
        arn = f"arn:aws:iam::{ACCOUNT}:policy/{given['PolicyName']}"
        self.policies[arn] = {"tags": given["Tags"], "versions": [], "holders": []}
        self._create_policy_version({**given, "PolicyArn": arn, "SetAsDefault": True})

    def _create_policy_version(self, given: Arguments) -> None:
        versions = self._policy(given)["versions"]
        if len(versions) >= 5:
            raise refused("LimitExceeded")
        number = 1 + max((int(each["VersionId"][1:]) for each in versions), default=0)
        if given["SetAsDefault"]:
            for each in versions:
                each["IsDefaultVersion"] = False
        versions.append(
            {
                "VersionId": f"v{number}",
                "IsDefaultVersion": given["SetAsDefault"],
                "CreateDate": number,
                "document": json.loads(given["PolicyDocument"]),
            }
        )

    def _get_policy_version(self, given: Arguments) -> dict[str, Any]:
        [version] = [each for each in self._policy(given)["versions"] if each["VersionId"] == given["VersionId"]]
        return {"PolicyVersion": {"Document": version["document"]}}

    def _list_policy_versions(self, given: Arguments) -> dict[str, Any]:
        return {"Versions": list(self._policy(given)["versions"])}

    def _delete_policy_version(self, given: Arguments) -> None:
        versions = self._policy(given)["versions"]
        [version] = [each for each in versions if each["VersionId"] == given["VersionId"]]
        if version["IsDefaultVersion"]:
            raise refused("DeleteConflict")
        versions.remove(version)

    def _list_entities_for_policy(self, given: Arguments) -> dict[str, Any]:
        holders = self._policy(given)["holders"]
        kinds = {"UserName": "PolicyUsers", "RoleName": "PolicyRoles"}
        return {kinds[kind]: [{kind: name} for at, name in holders if at == kind] for kind in kinds}

    def _attach_user_policy(self, given: Arguments) -> None:
        self._policy(given)["holders"].append(("UserName", given["UserName"]))

    def _detach_user_policy(self, given: Arguments) -> None:
        self._policy(given)["holders"].remove(("UserName", given["UserName"]))

    def _delete_policy(self, given: Arguments) -> None:
        policy = self._policy(given)
        if policy["holders"] or len(policy["versions"]) > 1:
            raise refused("DeleteConflict")
        del self.policies[given["PolicyArn"]]

    # --- security groups, the role of spot machines

    def _describe_security_groups(self, given: Arguments) -> dict[str, Any]:
        wanted = {each["Name"]: each["Values"] for each in given["Filters"]}
        found = [
            each
            for each in self.groups
            if [each["GroupName"]] == wanted["group-name"] and [each["VpcId"]] == wanted["vpc-id"]
        ]
        return {"SecurityGroups": found}

    def _create_security_group(self, given: Arguments) -> dict[str, Any]:
        [tagged] = given["TagSpecifications"]
        group = {"GroupId": f"sg-{len(self.groups) + 1}", "GroupName": given["GroupName"], "VpcId": given["VpcId"]}
        self.groups.append({**group, "Tags": tagged["Tags"], "IpPermissions": []})
        return group

    def _authorize_security_group_ingress(self, given: Arguments) -> None:
        self._group(given)["IpPermissions"] += given["IpPermissions"]

    def _revoke_security_group_ingress(self, given: Arguments) -> None:
        for each in given["IpPermissions"]:
            self._group(given)["IpPermissions"].remove(each)

    def _delete_security_group(self, given: Arguments) -> None:
        self.groups.remove(self._group(given))

    def _group(self, given: Arguments) -> dict[str, Any]:
        [group] = [each for each in self.groups if each["GroupId"] == given["GroupId"]]
        return group

    def _list_roles(self, given: Arguments) -> dict[str, Any]:
        assert given["PathPrefix"] == "/aws-service-role/spot.amazonaws.com/"
        return {"Roles": [each for each in self.roles if each.startswith("AWSServiceRole")]}

    def _create_service_linked_role(self, given: Arguments) -> None:
        assert given["AWSServiceName"] == "spot.amazonaws.com"
        self.roles["AWSServiceRoleForEC2Spot"] = {}


def _of(things: dict[str, Any], name: str, code: str) -> Any:
    if name not in things:
        raise refused(code)
    return things[name]
