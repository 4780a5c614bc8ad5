"""All parts of an AWS account that runs need, in the order in which they are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from swath.cluster.account.aws_access import WORKER, ClientPolicy, SpotRole, WorkerRole
from swath.cluster.account.aws_places import EcrRepository, MachineGroup, S3Bucket
from swath.cluster.account.part import AccountPart, Terraform
from swath.cluster.account.wanted import WantedAccount
from swath.cluster.providers.aws.api import AwsApi
from swath.errors import UsageError
from swath.version import __version__

TERRAFORM_ACCOUNT = "${data.aws_caller_identity.current.account_id}"


@dataclass(frozen=True)
class AwsAccount:
    """One account, in one region. Raises UsageError when it is not known whom the rights of a client are for."""

    wanted: WantedAccount

    def parts(self, *, offline: bool = False) -> list[AccountPart]:
        """All parts. `offline`: nobody is asked who signs in, so a client must have been named."""
        wanted, aws = self.wanted, self._aws
        account = TERRAFORM_ACCOUNT if offline else self._identity["Account"]
        places = {"ACCOUNT": account, "REGION": wanted.region, "BUCKET": wanted.bucket, "PREFIX": wanted.prefix}
        return [
            S3Bucket(aws, wanted.bucket, wanted.prefix, wanted.with_content),
            EcrRepository(aws, account),
            WorkerRole(aws, places),
            ClientPolicy(aws, places, self._client(offline=offline)),
            MachineGroup(aws, wanted.network, wanted.allow),
            SpotRole(aws),
        ]

    def settings(self) -> dict[str, Any]:
        """What swath.yaml gets: a cluster, and where results are."""
        wanted, aws = self.wanted, self._aws
        group = MachineGroup(aws, wanted.network, wanted.allow)
        cluster: dict[str, Any] = {"kind": "aws", "region": wanted.region}
        if wanted.network:
            filters = [{"Name": "vpc-id", "Values": [wanted.network]}]
            listed = aws.call("ec2", "describe_subnets", {"Filters": filters})["Subnets"]
            by_zone = {each["AvailabilityZone"]: each["SubnetId"] for each in listed}
            subnets = [by_zone[zone] for zone in sorted(by_zone)]
            cluster |= {"subnet": subnets[0]} if subnets else {}
            cluster |= {"subnets": subnets[1:]} if subnets[1:] else {}
        cluster |= {
            "security_groups": [group.group_id() or "sg-..."],
            "profile": WORKER,
            "image": f"{EcrRepository(aws, self._identity['Account']).address}:{__version__}",
            "workers": {"min": 1, "max": 4},
        }
        return wanted.settings(cluster, "s3")

    def provider(self) -> Terraform:
        """What stands beside the resources in Terraform."""
        required = {"aws": {"source": "hashicorp/aws", "version": ">= 5.0"}}
        data: dict[str, Any] = {"aws_caller_identity": {"current": {}}}
        if not self.wanted.network:
            data["aws_vpc"] = {"default": {"default": True}}
        provider = {"aws": {"region": self.wanted.region}}
        return {"terraform": {"required_providers": required}, "provider": provider, "data": data}

    def _client(self, *, offline: bool) -> str:
        named = self.wanted.client
        if named:
            if not re.fullmatch(r"(user|role)/[\w+=,.@-]+", named):
                raise UsageError(f"{named} is no client", remedy="write --client user/NAME, or --client role/NAME")
            return named
        if self.wanted.removing:
            return ""  # the policy is detached from all who have it
        who = "" if offline else str(self._identity["Arn"]).partition(":")[2].rpartition(":")[2]
        if who == "root":
            return ""
        if who.startswith("user/"):
            return f"user/{who.rpartition('/')[2]}"
        raise UsageError(
            f"it is not known who will run pipelines{f': {who} is no user of this account' if who else ''}",
            remedy="add --client user/NAME, or --client role/NAME",
        )

    @cached_property
    def _aws(self) -> AwsApi:
        return AwsApi(self.wanted.region)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return self._aws.call("sts", "get_caller_identity")
