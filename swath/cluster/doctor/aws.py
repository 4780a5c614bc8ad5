"""What a cluster on AWS needs, looked at one by one: credentials, machine types, image, network, profile, quota."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from swath.cluster.cloud.aws import CANONICAL, UBUNTU
from swath.cluster.doctor.doctor import ANYWHERE, Check, fail, failed, looked, ok, warn, within
from swath.cluster.machine.entrypoint import PORT
from swath.cluster.providers.ec2 import LOGIN, Answer, refusal
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError
from swath.spec.clusters.cloud import AwsCluster

FAMILIES = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), "standard"),
    **dict.fromkeys(("g", "gr", "vt"), "g"),
    "p": "p",
}
"""By the letters that a machine type begins with: the quota that it counts for."""
QUOTAS = {
    "standard": ("L-1216C47A", "L-34B43A08"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "p": ("L-417A185B", "L-7212CCBC"),
}
"""Codes of the quotas of virtual CPUs: on demand, and spot. https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html"""


class Aws:
    """Calls of any service in one region. Raises CredentialsError and InfrastructureError."""

    def __init__(self, region: str) -> None:
        try:
            import botocore.config
            import botocore.exceptions
            import botocore.session
        except ImportError as error:
            raise MissingExtra("botocore", "aws", "A cluster on AWS") from error
        self.region = region
        self._errors = botocore.exceptions
        self._session = botocore.session.Session()
        self._clients: dict[str, Any] = {}
        self._config = botocore.config.Config(connect_timeout=10, read_timeout=30, retries={"total_max_attempts": 2})

    def __call__(self, service: str, operation: str, **arguments: Any) -> Answer:
        errors = self._errors
        try:
            if service not in self._clients:  # making one reads a description of the whole service
                made = self._session.create_client(service, region_name=self.region, config=self._config)
                self._clients[service] = made
            answer: Answer = getattr(self._clients[service], operation)(**arguments)
        except errors.ClientError as error:
            told = error.response["Error"]
            raise refusal(self.region, told.get("Code", ""), told.get("Message", "")) from error
        except (
            errors.NoCredentialsError,
            errors.PartialCredentialsError,
            errors.CredentialRetrievalError,
            errors.TokenRetrievalError,
            errors.SSOError,
            errors.ProfileNotFound,
        ) as error:
            raise CredentialsError(f"no credentials for AWS: {error}", remedy=LOGIN) from error
        except (errors.BotoCoreError, OSError) as error:
            remedy = "check the network, cluster.region, and AWS_ENDPOINT_URL where it is set"
            raise InfrastructureError(f"{service} in {self.region} does not answer: {error}", remedy=remedy) from error
        return answer


def account(spec: AwsCluster) -> Iterator[Check]:
    """All checks. Without credentials the rest is not looked at."""
    aws = Aws(spec.region)
    first = looked("credentials", lambda: _credentials(aws))
    yield first
    if first.state == "fail":
        return
    region = looked("region", lambda: _region(aws), needed=False)
    yield region
    if region.state == "fail":
        return
    yield looked("machines", lambda: _machines(aws, spec), needed=False)
    yield looked("image", lambda: _image(aws, spec))
    subnet: list[Answer] = []
    yield looked("subnet", lambda: _subnet(aws, spec, subnet))
    try:
        yield from _groups(aws, spec, subnet)
    except SwathError as error:
        yield failed("network", error, needed=False)
    yield looked("profile", lambda: _profile(aws, spec))
    yield from _quotas(aws, spec)


def _credentials(aws: Aws) -> Check:
    return ok("credentials", str(aws("sts", "get_caller_identity")["Arn"]))


def _region(aws: Aws) -> Check:
    zones = aws("ec2", "describe_availability_zones")["AvailabilityZones"]
    up = [zone["ZoneName"] for zone in zones if zone["State"] == "available"]
    return (
        ok("region", f"{aws.region}: {', '.join(up)}") if up else fail("region", f"{aws.region} has no zone that is up")
    )


def _machines(aws: Aws, spec: AwsCluster) -> Check:
    wanted = sorted({spec.machine, spec.scheduler_machine})
    filters = [{"Name": "instance-type", "Values": wanted}]
    offered = aws("ec2", "describe_instance_type_offerings", LocationType="region", Filters=filters)
    there = {each["InstanceType"] for each in offered["InstanceTypeOfferings"]}
    if missing := [name for name in wanted if name not in there]:
        return fail(
            "machines", f"{aws.region} has no {' and no '.join(missing)}: set cluster.machine or scheduler_machine"
        )
    return ok("machines", ", ".join(wanted))


def _types(aws: Aws, spec: AwsCluster) -> list[Answer]:
    """What is known of the machine types that there are."""
    wanted = [{"Name": "instance-type", "Values": sorted({spec.machine, spec.scheduler_machine})}]
    found: list[Answer] = aws("ec2", "describe_instance_types", Filters=wanted)["InstanceTypes"]
    return found


def _image(aws: Aws, spec: AwsCluster) -> Check:
    if spec.machine_image is None:
        for name in UBUNTU:
            if aws(
                "ec2",
                "describe_images",
                Owners=[CANONICAL],
                Filters=[{"Name": "name", "Values": [name.format(architecture="*")]}],
            )["Images"]:
                return warn(
                    "image", "plain Ubuntu: every boot installs Docker first; `make machine-image` makes a quicker one"
                )
        return fail(
            "image", f"{aws.region} has no image of Ubuntu: set cluster.machine_image, see `make machine-image`"
        )
    images = aws("ec2", "describe_images", ImageIds=[spec.machine_image])["Images"]
    if not images or images[0]["State"] != "available":
        return fail(
            "image", f"{spec.machine_image} is not there or not ready in {aws.region}: set cluster.machine_image"
        )
    described = _types(aws, spec)
    for each in described:
        if images[0]["Architecture"] not in each["ProcessorInfo"]["SupportedArchitectures"]:
            return fail(
                "image", f"{spec.machine_image} is for {images[0]['Architecture']}, {each['InstanceType']} is not"
            )
    return ok("image", f"{spec.machine_image}: {images[0].get('Name', '')}")


def _subnet(aws: Aws, spec: AwsCluster, found: list[Answer]) -> Check:
    """`found` gets the subnet: security groups are compared with it."""
    if spec.subnet:
        subnets = aws("ec2", "describe_subnets", SubnetIds=[spec.subnet])["Subnets"]
    else:
        filters = [{"Name": "default-for-az", "Values": ["true"]}]
        subnets = aws("ec2", "describe_subnets", Filters=filters)["Subnets"]
    if not subnets:
        return fail("subnet", f"{aws.region} has no default VPC: set cluster.subnet, or `aws ec2 create-default-vpc`")
    found.append(subnets[0])
    free, needed = sum(each["AvailableIpAddressCount"] for each in subnets), spec.workers.max + 1
    shown = f"{', '.join(each['SubnetId'] for each in subnets)}: {free} free addresses"
    return (
        ok("subnet", shown) if free >= needed else fail("subnet", f"{shown}, {needed} are needed: set cluster.subnet")
    )


def _groups(aws: Aws, spec: AwsCluster, subnet: list[Answer]) -> Iterator[Check]:
    """Of the security groups together: who may come in."""
    groups = aws("ec2", "describe_security_groups", GroupIds=list(spec.security_groups))["SecurityGroups"]
    names, cidr = ", ".join(spec.security_groups), subnet[0]["CidrBlock"] if subnet else ""
    if subnet and (other := [each["GroupId"] for each in groups if each["VpcId"] != subnet[0]["VpcId"]]):
        yield fail(
            "network",
            f"{', '.join(other)} is not of the subnet's VPC {subnet[0]['VpcId']}: set cluster.security_groups",
        )
        return
    rules = [rule for group in groups for rule in group["IpPermissions"]]
    yield _client(aws.region, names, ranges_in(rules, PORT, PORT), spec.security_groups[0])
    own = set(spec.security_groups)
    each_other = any(
        covers(rule, 1024, 65535)
        and (
            own & {pair.get("GroupId") for pair in rule.get("UserIdGroupPairs", [])}
            or any(cidr and within(cidr, block["CidrIp"]) for block in rule.get("IpRanges", []))
        )
        for rule in rules
    )
    group = spec.security_groups[0]
    remedy = f"aws ec2 authorize-security-group-ingress --region {aws.region} --group-id {group} --protocol tcp --port 0-65535"
    if each_other:
        yield ok("network", f"{names}: machines reach each other")
    else:
        yield fail("network", f"{names} does not let machines reach each other: {remedy} --source-group {group}")
    if not any(group.get("IpPermissionsEgress") for group in groups):
        yield fail("network", f"{names} lets nothing out: machines could neither get the container nor read imagery")


def _client(region: str, names: str, ranges: list[str], group: str) -> Check:
    """Which addresses reach the scheduler. Whether this machine's is among them only a connection tells."""
    if not ranges:
        said = f"{names} lets nobody reach port {PORT} of the scheduler: aws ec2 authorize-security-group-ingress"
        return fail(
            "network",
            f"{said} --region {region} --group-id {group} --protocol tcp --port {PORT} --cidr YOUR.ADDRESS/32",
        )
    if set(ranges) & set(ANYWHERE):
        return warn(
            "network", f"{names}: everybody reaches port {PORT}; TLS keeps them out, but your own address would do"
        )
    return ok("network", f"{names}: port {PORT} is open to {', '.join(ranges)}; this machine has to be in there")


def covers(rule: Answer, first: int, last: int) -> bool:
    """Whether a rule lets TCP in at all ports from the first to the last."""
    if rule["IpProtocol"] == "-1":
        return True
    return rule["IpProtocol"] in ("tcp", "6") and rule.get("FromPort", 0) <= first and rule.get("ToPort", 65535) >= last


def ranges_in(rules: list[Answer], first: int, last: int) -> list[str]:
    """From which addresses, or lists of them, TCP is let in."""
    found: list[str] = []
    for rule in rules:
        if covers(rule, first, last):
            found += [each["CidrIp"] for each in rule.get("IpRanges", [])]
            found += [each["CidrIpv6"] for each in rule.get("Ipv6Ranges", [])]
            found += [each["PrefixListId"] for each in rule.get("PrefixListIds", [])]
    return list(dict.fromkeys(found))


def _profile(aws: Aws, spec: AwsCluster) -> Check:
    if spec.profile is None:
        return warn(
            "profile",
            "none: machines read and write only what is public, unless cluster.env has keys; set cluster.profile",
        )
    name = spec.profile.rpartition("/")[2]
    try:
        profile = aws("iam", "get_instance_profile", InstanceProfileName=name)["InstanceProfile"]
    except CredentialsError:
        return warn("profile", f"{name}: this account may not look (iam:GetInstanceProfile)")
    except InfrastructureError as error:
        return fail("profile", f"{name} is not there: {error.message}: set cluster.profile, see infra/iam")
    roles = [role["RoleName"] for role in profile["Roles"]]
    return ok("profile", f"{name}: role {roles[0]}") if roles else fail("profile", f"{name} has no role: see infra/iam")


def _quotas(aws: Aws, spec: AwsCluster) -> Iterator[Check]:
    """Virtual CPUs that may run at once. What runs already the API does not tell."""
    try:
        described = _types(aws, spec)
    except SwathError as error:
        yield warn("quota", f"not known: {error.message}")
        return
    cpus = {each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"] for each in described}
    for code, needed in needs(spec, cpus).items():
        try:
            allowed = aws("service-quotas", "get_service_quota", ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
        except SwathError as error:
            yield warn("quota", f"{code} is not told: {error.message}; {needed} virtual CPUs are needed")
            continue
        yield compared(aws.region, code, needed, allowed)


def compared(region: str, code: str, needed: int, allowed: float) -> Check:
    """A quota and what of it is needed."""
    if needed <= allowed:
        return ok("quota", f"{code}: {needed} of {allowed:g} virtual CPUs, less what runs already")
    remedy = (
        f"aws service-quotas request-service-quota-increase --region {region} --service-code ec2 --quota-code {code}"
    )
    return fail(
        "quota", f"{code} allows {allowed:g} virtual CPUs, {needed} are needed: have fewer workers, or {remedy}"
    )


def needs(spec: AwsCluster, cpus: dict[str, int]) -> dict[str, int]:
    """Virtual CPUs by the code of the quota that they count for; machine types without a known one are left out."""
    found: dict[str, int] = {}
    for name, spot, count in ((spec.scheduler_machine, False, 1), (spec.machine, spec.spot, spec.workers.max)):
        letters = re.match(r"[a-z]*", name)
        codes = QUOTAS.get(FAMILIES.get(letters[0] if letters else "", ""))
        if codes is not None:
            found[codes[spot]] = found.get(codes[spot], 0) + cpus.get(name, 0) * count
    return found
