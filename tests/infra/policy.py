"""Evaluation of AWS policies, as far as those in infra/iam need it: which statement allows a request, and what no request needed.

python -m tests.infra.policy LOG...    coverage of infra/iam by the calls of simulated runs (their calls.jsonl)
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IAM = Path(__file__).resolve().parents[2] / "infra" / "iam"
ACCOUNT = "123456789012"
Values = tuple[str, ...]


@dataclass(frozen=True)
class Request:
    """One action on one resource; a call of an API may be several requests."""

    action: str
    resource: str
    context: Mapping[str, Values] = field(default_factory=dict)
    """Values of condition keys."""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def meets(operator: str, wanted: Iterable[str], had: Values | None) -> bool:
    """Whether a condition's one key holds."""
    wanted = list(wanted)
    if operator == "Null":
        return [str(had is None).lower()] == wanted
    if operator.endswith("IfExists"):
        return had is None or meets(operator.removesuffix("IfExists"), wanted, had)
    if operator == "ForAllValues:StringEquals":
        return set(had or ()) <= set(wanted)
    if had is None:
        return False
    if operator in ("StringEquals", "ArnEquals"):
        return set(had) <= set(wanted)
    if operator == "StringLike":
        return all(any(fnmatch.fnmatchcase(each, pattern) for pattern in wanted) for each in had)
    if operator == "NumericEquals":
        return {float(each) for each in had} <= {float(each) for each in wanted}
    raise ValueError(f"unknown operator: {operator}")


@dataclass
class Policy:
    """A policy, and which parts of it were needed."""

    name: str
    statements: list[dict[str, Any]]
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(statement, action or resource)."""

    @classmethod
    def read(cls, name: str, **places: str) -> Policy:
        """Of infra/iam, its REGION, ACCOUNT, BUCKET and PREFIX filled in."""
        text = (IAM / f"{name}.json").read_text(encoding="utf-8")
        for word, place in {"ACCOUNT": ACCOUNT, **places}.items():
            text = re.sub(rf"\b{word}\b", place, text)
        return cls(name, json.loads(text)["Statement"])

    def allows(self, request: Request) -> bool:
        """Whether a statement allows it, which is counted then."""
        for statement in self.statements:
            actions = [each for each in listed(statement["Action"]) if each == request.action]
            resources = [each for each in listed(statement["Resource"]) if fnmatch.fnmatchcase(request.resource, each)]
            conditions = statement.get("Condition", {}).items()
            if (
                actions
                and resources
                and all(
                    meets(operator, listed(wanted), request.context.get(key))
                    for operator, those in conditions
                    for key, wanted in those.items()
                )
            ):
                self.used.update((statement["Sid"], part) for part in (actions[0], resources[0]))
                return True
        return False

    def unused(self) -> list[tuple[str, str]]:
        parts = [
            (statement["Sid"], part)
            for statement in self.statements
            for part in (*listed(statement["Action"]), *listed(statement["Resource"]))
        ]
        return [part for part in parts if part not in self.used]

    def report(self) -> str:
        lines = [f"{self.name}: {len(self.unused())} of {sum(1 for _ in self._parts())} parts unused"]
        lines += [f"  {self.used[part]:6} {part[0]}: {part[1]}" for part in self._parts()]
        return "\n".join(lines)

    def _parts(self) -> Iterator[tuple[str, str]]:
        for statement in self.statements:
            for part in (*listed(statement["Action"]), *listed(statement["Resource"])):
                yield statement["Sid"], part


S3 = {
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "CopyObject": ("s3:GetObject", "s3:PutObject"),
    "CreateMultipartUpload": ("s3:PutObject",),
    "DeleteObject": ("s3:DeleteObject",),
    "DeleteObjects": ("s3:DeleteObject",),
    "GetObject": ("s3:GetObject", "s3:ListBucket"),  # without ListBucket, what is not there is answered as forbidden
    "HeadBucket": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject", "s3:ListBucket"),
    "ListObjects": ("s3:ListBucket",),
    "ListObjectsV2": ("s3:ListBucket",),
    "PutObject": ("s3:PutObject",),
    "UploadPart": ("s3:PutObject",),
}
"""What each call of S3 needs."""
KINDS = {"NetworkInterface.1.SubnetId": "subnet", "NetworkInterface.1.SecurityGroupId.1": "security-group"}


def requests(call: Mapping[str, Any], region: str) -> Iterator[Request]:
    """What a call of a simulator's log asks the policies. Raises KeyError for a call of S3 that nobody has looked up."""
    asked, action = call["parameters"], call["action"]
    if call["service"] == "s3":
        for each in S3[action]:
            key = "" if each == "s3:ListBucket" else f"/{asked.get('Key', 'a-key')}"
            prefix = asked.get("prefix")  # of a list; others have none
            listed = {"s3:prefix": (str(prefix),)} if each == "s3:ListBucket" and prefix is not None else {}
            yield Request(each, f"arn:aws:s3:::{asked['Bucket']}{key}", listed)
        return
    if action == "GetCallerIdentity":
        return  # nobody needs a permission for it
    if action == "RunInstances":
        yield from of_run(asked, region)
    elif action == "GetInstanceProfile":
        profile = f"arn:aws:iam::{ACCOUNT}:instance-profile/{asked['InstanceProfileName']}"
        yield Request("iam:GetInstanceProfile", profile)
    elif action in ("TerminateInstances", "GetConsoleOutput"):
        for name, identity in asked.items():
            if name.startswith("InstanceId"):
                # Whatever this log's machines are, they were made by its own calls: tagged, or refused by the policy.
                yield Request(
                    f"ec2:{action}",
                    f"arn:aws:ec2:{region}:{ACCOUNT}:instance/{identity}",
                    {"aws:ResourceTag/swath:run": ("1",)},
                )
    else:
        yield Request(f"{call['service']}:{action}", "*", {"aws:RequestedRegion": (region,)})


def of_run(asked: Mapping[str, str], region: str) -> Iterator[Request]:
    """RunInstances asks for every resource that it makes or uses, for its tags, and for the role that it gives."""
    base = f"arn:aws:ec2:{region}:{ACCOUNT}"
    tags: dict[str, dict[str, Values]] = {}
    for name, kind in asked.items():
        if found := re.fullmatch(r"TagSpecification\.(\d+)\.ResourceType", name):
            begin = f"TagSpecification.{found[1]}.Tag."
            tags[kind] = {
                f"aws:RequestTag/{key}": (asked[name.removesuffix("Key") + "Value"],)
                for name, key in asked.items()
                if name.startswith(begin) and name.endswith(".Key")
            }
    context: dict[str, Values] = dict(tags.get("instance", {}))
    for option in ("HttpTokens", "HttpPutResponseHopLimit"):
        if f"MetadataOptions.{option}" in asked:
            context[f"ec2:Metadata{option}"] = (asked[f"MetadataOptions.{option}"],)
    profile = asked.get("IamInstanceProfile.Name")
    if profile:
        context["ec2:InstanceProfile"] = (f"arn:aws:iam::{ACCOUNT}:instance-profile/{profile}",)
        yield Request(
            "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/{profile}", {"iam:PassedToService": ("ec2.amazonaws.com",)}
        )
    yield Request("ec2:RunInstances", f"{base}:instance/*", context)
    yield Request("ec2:RunInstances", f"{base}:volume/*", tags.get("volume", {}))
    yield Request("ec2:RunInstances", f"{base}:network-interface/*", {})
    yield Request("ec2:RunInstances", f"arn:aws:ec2:{region}::image/{asked['ImageId']}", {})
    for name, kind in KINDS.items():
        if name in asked:
            yield Request("ec2:RunInstances", f"{base}:{kind}/{asked[name]}", {})
    if asked.get("InstanceMarketOptions.MarketType") == "spot":
        yield Request("ec2:RunInstances", f"{base}:spot-instances-request/*", tags.get("spot-instances-request", {}))
    for kind, those in tags.items():
        keys = tuple(name.partition("/")[2] for name in those)
        yield Request(
            "ec2:CreateTags", f"{base}:{kind}/*", {"ec2:CreateAction": ("RunInstances",), "aws:TagKeys": keys}
        )


def cover(calls: Iterable[Mapping[str, Any]], policies: Mapping[str, Policy], region: str) -> list[str]:
    """Count what the calls of each caller need; what its policy does not allow."""
    refused: list[str] = []
    for call in calls:
        if call["who"] in policies:
            for request in requests(call, region):
                if not policies[call["who"]].allows(request):
                    refused.append(f"{call['who']}: {request.action} on {request.resource}")
    return sorted(set(refused))


COMPUTE = {
    "acceleratorTypes.get": {"compute.acceleratorTypes.get"},
    "firewalls.list": {"compute.firewalls.list"},
    "images.get": {"compute.images.get"},
    "images.getFromFamily": {"compute.images.getFromFamily"},
    "instances.aggregatedList": {"compute.instances.list"},
    "instances.list": {"compute.instances.list"},
    "instances.delete": {"compute.instances.delete"},
    "instances.get": {"compute.instances.get"},
    "instances.getSerialPortOutput": {"compute.instances.getSerialPortOutput"},
    "machineTypes.get": {"compute.machineTypes.get"},
    "projects.get": {"compute.projects.get"},
    "regions.get": {"compute.regions.get"},
    "subnetworks.get": {"compute.subnetworks.get"},
    "zoneOperations.get": {"compute.zoneOperations.get"},
    "zones.get": {"compute.zones.get"},
}
"""What each call of Compute Engine needs; instances.insert needs what its body asks for."""
INSERT = {
    "tags": {"compute.instances.setTags"},
    "labels": {"compute.instances.setLabels"},
    "metadata": {"compute.instances.setMetadata"},
    "serviceAccounts": {"compute.instances.setServiceAccount"},
    "disks": {"compute.disks.create", "compute.images.useReadOnly"},
    "networkInterfaces": {"compute.subnetworks.use"},
}


def permissions(action: str, body: Mapping[str, Any]) -> set[str]:
    """What a call of Compute Engine needs. Raises KeyError for one that nobody has looked up."""
    if action != "instances.insert":
        return COMPUTE[action]
    needed = {"compute.instances.create"}.union(*(INSERT[part] for part in INSERT if part in body))
    if any("labels" in disk.get("initializeParams", {}) for disk in body.get("disks", [])):
        needed.add("compute.disks.setLabels")
    if any("accessConfigs" in each for each in body.get("networkInterfaces", [])):
        needed.add("compute.subnetworks.useExternalIp")
    return needed


if __name__ == "__main__":
    calls = [json.loads(line) for log in sys.argv[1:] for line in Path(log).read_text().splitlines()]
    places = {"REGION": "us-east-1", "BUCKET": "maps", "PREFIX": "rivers"}
    of = {"client": Policy.read("aws-client", **places), "machine": Policy.read("aws-worker", **places)}
    print("\n".join(["refused:", *cover(calls, of, "us-east-1"), *(each.report() for each in of.values())]))
