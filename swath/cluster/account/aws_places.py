"""Parts of an AWS account in which things are: the bucket, the repository of images, and the security group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from swath.cluster.account.aws_access import TAGS, AwsPart, aws_found, ours
from swath.cluster.account.bucket_content import kept_content, remove_content
from swath.cluster.account.part import LABEL, MARK, STAGED_DAYS, UPLOAD_DAYS, AccountPart, PartState, Terraform
from swath.cluster.machine.entrypoint import PORT
from swath.cluster.providers.aws.api import AwsApi, Response
from swath.cluster.providers.aws.errors import Ec2Error
from swath.errors import InfrastructureError

NAME = "swath"
"""Of the security group and the repository."""
KEPT_IMAGES = 20
CLOSED = {
    "BlockPublicAcls": True,
    "BlockPublicPolicy": True,
    "IgnorePublicAcls": True,
    "RestrictPublicBuckets": True,
}


@dataclass
class S3Bucket(AwsPart):
    """The bucket of results, maps and staged files. One that was there before keeps its rules."""

    aws: AwsApi
    name: str
    prefix: str
    with_content: bool = False
    """Whether it may be removed with what is in it."""

    @property
    def title(self) -> str:
        return f"bucket s3://{self.name} in {self.aws.region}"

    def look(self) -> PartState:
        there = aws_found(self.aws, "s3", "head_bucket", {"Bucket": self.name})
        if there is None:
            return PartState("missing")
        where = there.get("BucketRegion") or self.aws.region
        far = "" if where == self.aws.region else f"; it is in {where}: traffic with machines elsewhere is paid"
        if not ours(self._tags()):
            return PartState("there", f"not made by a setup: its rules stay{far}")
        if self._rules_there() != self._rules:
            return PartState("different", "rules that remove staged files and unfinished uploads", ours=True)
        return PartState("there", ours=True)

    def make(self) -> None:
        bucket = {"Bucket": self.name}
        if aws_found(self.aws, "s3", "head_bucket", bucket) is None:
            # The default region has no name there.
            where = {"CreateBucketConfiguration": {"LocationConstraint": self.aws.region}}
            self._call("create_bucket", **(where if self.aws.region != "us-east-1" else {}))
            self._call("put_bucket_tagging", Tagging={"TagSet": TAGS})
        self._call("put_public_access_block", PublicAccessBlockConfiguration=CLOSED)
        self._call("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": self._rules})

    def kept(self) -> str:
        return "" if self.with_content else kept_content("s3", self.name)

    def remove(self) -> None:
        if self.with_content:
            remove_content("s3", self.name)
        aws_found(self.aws, "s3", "delete_bucket", {"Bucket": self.name})

    def terraform(self) -> Terraform:
        bucket = "${aws_s3_bucket.maps.id}"
        stale = {"id": "staged", "status": "Enabled", "filter": {"prefix": f"{self.prefix}/stage/"}}
        cut = {"id": "uploads", "status": "Enabled", "filter": {}}
        rules = [
            {**stale, "expiration": {"days": STAGED_DAYS}},
            {**cut, "abort_incomplete_multipart_upload": {"days_after_initiation": UPLOAD_DAYS}},
        ]
        closed = {
            "block_public_acls": True,
            "block_public_policy": True,
            "ignore_public_acls": True,
            "restrict_public_buckets": True,
        }
        return {
            "aws_s3_bucket": {"maps": {"bucket": self.name, "tags": {LABEL: "made"}}},
            "aws_s3_bucket_public_access_block": {"maps": {"bucket": bucket, **closed}},
            "aws_s3_bucket_lifecycle_configuration": {"maps": {"bucket": bucket, "rule": rules}},
        }

    def _tags(self) -> list[dict[str, str]]:
        try:
            tags: list[dict[str, str]] = self._call("get_bucket_tagging")["TagSet"]
        except Ec2Error as error:
            if error.code == "NoSuchTagSet":
                return []
            raise
        return tags

    def _rules_there(self) -> list[dict[str, Any]]:
        try:
            rules: list[dict[str, Any]] = self._call("get_bucket_lifecycle_configuration")["Rules"]
        except Ec2Error as error:
            if error.code == "NoSuchLifecycleConfiguration":
                return []
            raise
        return rules

    @property
    def _rules(self) -> list[dict[str, Any]]:
        stale = {"ID": "staged", "Status": "Enabled", "Filter": {"Prefix": f"{self.prefix}/stage/"}}
        cut = {"ID": "uploads", "Status": "Enabled", "Filter": {"Prefix": ""}}
        return [
            {"Expiration": {"Days": STAGED_DAYS}, **stale},
            {**cut, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UPLOAD_DAYS}},
        ]

    def _call(self, operation: str, **arguments: Any) -> Response:
        return self.aws.call("s3", operation, {"Bucket": self.name, **arguments})


@dataclass
class EcrRepository(AwsPart):
    """The repository of container images; it keeps the newest ones."""

    aws: AwsApi
    account: str

    @property
    def title(self) -> str:
        return f"repository of images {NAME} in {self.aws.region}"

    @property
    def address(self) -> str:
        return f"{self.account}.dkr.ecr.{self.aws.region}.amazonaws.com/{NAME}"

    def look(self) -> PartState:
        there = aws_found(self.aws, "ecr", "describe_repositories", {"repositoryNames": [NAME]})
        if not there or not there["repositories"]:
            return PartState("missing")
        arn = {"resourceArn": there["repositories"][0]["repositoryArn"]}
        return PartState("there", ours=ours(self.aws.call("ecr", "list_tags_for_resource", arn)["tags"]))

    def make(self) -> None:
        repository: dict[str, Any] = {"repositoryName": NAME, "tags": TAGS}
        self.aws.call("ecr", "create_repository", {**repository, "imageScanningConfiguration": {"scanOnPush": True}})
        policy = {"repositoryName": NAME, "lifecyclePolicyText": json.dumps(self._policy)}
        self.aws.call("ecr", "put_lifecycle_policy", policy)

    def remove(self) -> None:
        """Images are made again by `make image`."""
        aws_found(self.aws, "ecr", "delete_repository", {"repositoryName": NAME, "force": True})

    def terraform(self) -> Terraform:
        scan = {"image_scanning_configuration": {"scan_on_push": True}}
        name = "${aws_ecr_repository.swath.name}"
        return {
            "aws_ecr_repository": {NAME: {"name": NAME, "force_delete": True, "tags": {LABEL: "made"}, **scan}},
            "aws_ecr_lifecycle_policy": {NAME: {"repository": name, "policy": json.dumps(self._policy)}},
        }

    @property
    def _policy(self) -> dict[str, Any]:
        selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT_IMAGES}
        return {"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]}


@dataclass
class MachineGroup(AwsPart):
    """The security group of machines: who reaches the scheduler, and machines each other."""

    aws: AwsApi
    vpc: str
    """Id; empty for the default VPC."""
    ranges: Sequence[str]

    @property
    def title(self) -> str:
        return f"security group {NAME}: tcp {PORT} from {', '.join(self.ranges)}, and among machines"

    def look(self) -> PartState:
        group = self._there()
        if group is None:
            return PartState("missing")
        mine = ours(group.get("Tags", []))
        if set(self._ranges(group)) != set(self.ranges):
            return PartState("different", f"was from {', '.join(self._ranges(group)) or 'nowhere'}", mine)
        return PartState("there", ours=mine)

    def make(self) -> None:
        group = self._there()
        if group is None:
            tags = [{"ResourceType": "security-group", "Tags": TAGS}]
            text = f"Machines of runs. {MARK}"
            made = {"GroupName": NAME, "Description": text, "VpcId": self.vpc_id(), "TagSpecifications": tags}
            group_id = self.aws.call("ec2", "create_security_group", made)["GroupId"]
            pairs = [{"GroupId": group_id, "Description": MARK}]
            self._authorize(group_id, [{**_tcp(0, 65535), "UserIdGroupPairs": pairs}])
            group = {"GroupId": group_id, "IpPermissions": []}
        there = self._ranges(group)
        if added := [each for each in self.ranges if each not in there]:
            self._authorize(group["GroupId"], [_from(each) for each in added])
        if stale := [each for each in there if each not in self.ranges]:
            rules = [_from(each) for each in stale]
            self.aws.call("ec2", "revoke_security_group_ingress", {"GroupId": group["GroupId"], "IpPermissions": rules})

    def remove(self) -> None:
        group = self._there()
        if group is not None:
            aws_found(self.aws, "ec2", "delete_security_group", {"GroupId": group["GroupId"]})

    def terraform(self) -> Terraform:
        group = "${aws_security_group.machines.id}"
        scheduler = {"from_port": PORT, "to_port": PORT, "ip_protocol": "tcp", "security_group_id": group}
        among = {"from_port": 0, "to_port": 65535, "ip_protocol": "tcp", "security_group_id": group}
        rules = {
            f"client_{number}": {**scheduler, "cidr_ipv6" if ":" in each else "cidr_ipv4": each}
            for number, each in enumerate(self.ranges, 1)
        }
        rules["machines"] = {**among, "referenced_security_group_id": group}
        made = {"name": NAME, "description": MARK, "vpc_id": self.vpc or "${data.aws_vpc.default.id}"}
        out = {"ip_protocol": "-1", "cidr_ipv4": "0.0.0.0/0", "security_group_id": group}
        return {
            "aws_security_group": {"machines": {**made, "tags": {LABEL: "made"}}},
            "aws_vpc_security_group_ingress_rule": rules,
            "aws_vpc_security_group_egress_rule": {"machines": out},
        }

    def vpc_id(self) -> str:
        """Raises InfrastructureError without a default VPC."""
        if self.vpc:
            return self.vpc
        vpcs = self.aws.call("ec2", "describe_vpcs", {"Filters": [{"Name": "is-default", "Values": ["true"]}]})["Vpcs"]
        if not vpcs:
            raise InfrastructureError(
                f"{self.aws.region} has no default VPC",
                remedy="name one with --network vpc-..., or make it with `aws ec2 create-default-vpc`",
            )
        return str(vpcs[0]["VpcId"])

    def group_id(self) -> str:
        """Empty while it is not there."""
        group = self._there()
        return "" if group is None else str(group["GroupId"])

    def _there(self) -> Response | None:
        filters = [{"Name": "group-name", "Values": [NAME]}, {"Name": "vpc-id", "Values": [self.vpc_id()]}]
        groups = self.aws.call("ec2", "describe_security_groups", {"Filters": filters})["SecurityGroups"]
        return groups[0] if groups else None

    def _ranges(self, group: Response) -> list[str]:
        """From where the scheduler is reached, by rules of a setup."""
        rules = [each for each in group["IpPermissions"] if each.get("FromPort") == each.get("ToPort") == PORT]
        ipv4 = [each["CidrIp"] for rule in rules for each in rule.get("IpRanges", [])]
        return ipv4 + [each["CidrIpv6"] for rule in rules for each in rule.get("Ipv6Ranges", [])]

    def _authorize(self, group_id: str, rules: list[dict[str, Any]]) -> None:
        try:
            arguments = {"GroupId": group_id, "IpPermissions": rules}
            self.aws.call("ec2", "authorize_security_group_ingress", arguments)
        except Ec2Error as error:
            if error.code != "InvalidPermission.Duplicate":
                raise


def _tcp(first: int, last: int) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last}


def _from(cidr: str) -> dict[str, Any]:
    if ":" in cidr:
        return {**_tcp(PORT, PORT), "Ipv6Ranges": [{"CidrIpv6": cidr, "Description": MARK}]}
    return {**_tcp(PORT, PORT), "IpRanges": [{"CidrIp": cidr, "Description": MARK}]}


_: tuple[type[AccountPart], ...] = (S3Bucket, EcrRepository, MachineGroup)
