"""Findings of a cluster on AWS: credentials, machine types, image, network, instance profile, quota."""

from __future__ import annotations

import re
from collections.abc import Iterator

from swath.cluster.doctor.finding import Finding, checked, fail, finding_of, ok, warn
from swath.cluster.doctor.networks import ANYWHERE, within
from swath.cluster.machine.entrypoint import PORT
from swath.cluster.providers.aws.api import AwsApi, AwsLimits, Response, image_query
from swath.cluster.providers.aws.launch import CANONICAL, UBUNTU, has_gpus
from swath.errors import CredentialsError, InfrastructureError, SwathError
from swath.spec.clusters.cloud import AwsCluster

FAMILIES = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), "standard"),
    **dict.fromkeys(("g", "gr", "vt"), "g"),
    "p": "p",
}
"""Letters at the beginning of a machine type -> group of machine types with one quota."""
QUOTAS = {
    "standard": ("L-1216C47A", "L-34B43A08"),
    "g": ("L-DB2E81BA", "L-3819A6DF"),
    "p": ("L-417A185B", "L-7212CCBC"),
}
"""Group -> codes of its quotas of virtual CPUs: (on demand, spot). https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html"""


LIMITS = AwsLimits(read_s=30, attempts=2)


def check_account(spec: AwsCluster) -> Iterator[Finding]:
    """All checks. Without credentials the others are left out."""
    aws = AwsApi(spec.region, LIMITS)
    first = checked("credentials", lambda: _credentials(aws))
    yield first
    if first.state == "fail":
        return
    region = checked("region", lambda: _region(aws), needed=False)
    yield region
    if region.state == "fail":
        return
    yield checked("machines", lambda: _machines(aws, spec), needed=False)
    yield checked("image", lambda: _image(aws, spec))
    subnet: list[Response] = []
    yield checked("subnet", lambda: _subnet(aws, spec, subnet))
    try:
        yield from _groups(aws, spec, subnet)
    except SwathError as error:
        yield finding_of("network", error, needed=False)
    yield checked("profile", lambda: _profile(aws, spec))
    yield from _quotas(aws, spec)


def _credentials(aws: AwsApi) -> Finding:
    return ok("credentials", str(aws.call("sts", "get_caller_identity")["Arn"]))


def _region(aws: AwsApi) -> Finding:
    zones = aws.call("ec2", "describe_availability_zones")["AvailabilityZones"]
    up = [zone["ZoneName"] for zone in zones if zone["State"] == "available"]
    return (
        ok("region", f"{aws.region}: {', '.join(up)}") if up else fail("region", f"{aws.region} has no zone that is up")
    )


def _machines(aws: AwsApi, spec: AwsCluster) -> Finding:
    wanted = sorted({*spec.worker_machines, spec.scheduler_machine})
    filters = [{"Name": "instance-type", "Values": wanted}]
    offered = aws.call("ec2", "describe_instance_type_offerings", {"LocationType": "region", "Filters": filters})
    there = {each["InstanceType"] for each in offered["InstanceTypeOfferings"]}
    if missing := [name for name in wanted if name not in there]:
        return fail(
            "machines", f"{aws.region} has no {' and no '.join(missing)}: set cluster.machine or scheduler_machine"
        )
    return ok("machines", ", ".join(wanted))


def _types(aws: AwsApi, spec: AwsCluster) -> list[Response]:
    """Descriptions of the cluster's machine types, of those that exist."""
    wanted = [{"Name": "instance-type", "Values": sorted({*spec.worker_machines, spec.scheduler_machine})}]
    found: list[Response] = aws.call("ec2", "describe_instance_types", {"Filters": wanted})["InstanceTypes"]
    return found


def _image(aws: AwsApi, spec: AwsCluster) -> Finding:
    described = _types(aws, spec)
    gpus = any(has_gpus(each) for each in described if each["InstanceType"] == spec.machine)
    if gpus and spec.machine_image is None:
        return fail(
            "image", f"{spec.machine} has GPUs, and Ubuntu's own image no driver: `make machine-image VARIANT=gpu`"
        )
    if spec.machine_image is None:
        for name in UBUNTU:
            if aws.call(
                "ec2",
                "describe_images",
                {"Owners": [CANONICAL], "Filters": [{"Name": "name", "Values": [name.format(architecture="*")]}]},
            )["Images"]:
                return warn(
                    "image", "plain Ubuntu: every boot installs Docker first; `make machine-image` makes a quicker one"
                )
        return fail(
            "image", f"{aws.region} has no image of Ubuntu: set cluster.machine_image, see `make machine-image`"
        )
    images = aws.call("ec2", "describe_images", image_query(spec.machine_image))["Images"]
    images = sorted(images, key=lambda each: str(each.get("CreationDate", "")), reverse=True)
    if not images or images[0]["State"] != "available":
        return fail(
            "image", f"{spec.machine_image} is not there or not ready in {aws.region}: set cluster.machine_image"
        )
    tags = {each["Key"]: each["Value"] for each in images[0].get("Tags", [])}
    if gpus and tags.get("Name") == "swath":
        return fail(
            "image", f"{spec.machine_image} has no driver for GPUs: make one with `make machine-image VARIANT=gpu`"
        )
    for each in described:
        if images[0]["Architecture"] not in each["ProcessorInfo"]["SupportedArchitectures"]:
            return fail(
                "image", f"{spec.machine_image} is for {images[0]['Architecture']}, {each['InstanceType']} is not"
            )
    return ok("image", f"{spec.machine_image}: {images[0].get('Name', '')} ({images[0]['ImageId']})")


def _subnet(aws: AwsApi, spec: AwsCluster, found: list[Response]) -> Finding:
    """Also appends the subnet to `found`: security groups are compared with it."""
    if spec.subnet:
        subnets = aws.call("ec2", "describe_subnets", {"SubnetIds": [spec.subnet, *spec.subnets]})["Subnets"]
    else:
        filters = [{"Name": "default-for-az", "Values": ["true"]}]
        subnets = aws.call("ec2", "describe_subnets", {"Filters": filters})["Subnets"]
    if not subnets:
        return fail("subnet", f"{aws.region} has no default VPC: set cluster.subnet, or `aws ec2 create-default-vpc`")
    found.append(subnets[0])
    free, needed = sum(each["AvailableIpAddressCount"] for each in subnets), spec.workers.max + 1
    shown = f"{', '.join(each['SubnetId'] for each in subnets)}: {free} free addresses"
    return (
        ok("subnet", shown) if free >= needed else fail("subnet", f"{shown}, {needed} are needed: set cluster.subnet")
    )


def _groups(aws: AwsApi, spec: AwsCluster, subnet: list[Response]) -> Iterator[Finding]:
    """All security groups together: who may connect to machines."""
    groups = aws.call("ec2", "describe_security_groups", {"GroupIds": list(spec.security_groups)})["SecurityGroups"]
    names, cidr = ", ".join(spec.security_groups), subnet[0]["CidrBlock"] if subnet else ""
    if subnet and (other := [each["GroupId"] for each in groups if each["VpcId"] != subnet[0]["VpcId"]]):
        yield fail(
            "network",
            f"{', '.join(other)} is not of the subnet's VPC {subnet[0]['VpcId']}: set cluster.security_groups",
        )
        return
    rules = [rule for group in groups for rule in group["IpPermissions"]]
    yield _client_access(aws.region, names, ranges_in(rules, PORT, PORT), spec.security_groups[0])
    own = set(spec.security_groups)
    connected = any(
        covers(rule, 1024, 65535)
        and (
            own & {pair.get("GroupId") for pair in rule.get("UserIdGroupPairs", [])}
            or any(cidr and within(cidr, block["CidrIp"]) for block in rule.get("IpRanges", []))
        )
        for rule in rules
    )
    group = spec.security_groups[0]
    remedy = f"aws ec2 authorize-security-group-ingress --region {aws.region} --group-id {group} --protocol tcp --port 0-65535"
    if connected:
        yield ok("network", f"{names}: machines reach each other")
    else:
        yield fail("network", f"{names} does not let machines reach each other: {remedy} --source-group {group}")
    if not any(group.get("IpPermissionsEgress") for group in groups):
        yield fail("network", f"{names} lets nothing out: machines could neither get the container nor read imagery")


def _client_access(region: str, names: str, ranges: list[str], group: str) -> Finding:
    """Which addresses reach the scheduler. Whether this machine's is one of them only a connection can tell."""
    if not ranges:
        command = (
            f"{names} does not let anybody reach port {PORT} of the scheduler: aws ec2 authorize-security-group-ingress"
        )
        return fail(
            "network",
            f"{command} --region {region} --group-id {group} --protocol tcp --port {PORT} --cidr YOUR.ADDRESS/32",
        )
    if set(ranges) & set(ANYWHERE):
        return warn(
            "network", f"{names}: everybody reaches port {PORT}; TLS keeps them out, but your own address would do"
        )
    return ok("network", f"{names}: port {PORT} is open to {', '.join(ranges)}; this machine has to be in there")


def covers(rule: Response, first: int, last: int) -> bool:
    """Whether a rule allows TCP to all ports from the first to the last."""
    if rule["IpProtocol"] == "-1":
        return True
    return rule["IpProtocol"] in ("tcp", "6") and rule.get("FromPort", 0) <= first and rule.get("ToPort", 65535) >= last


def ranges_in(rules: list[Response], first: int, last: int) -> list[str]:
    """Address ranges, or ids of prefix lists, from which rules allow TCP to all these ports."""
    found: list[str] = []
    for rule in rules:
        if covers(rule, first, last):
            found += [each["CidrIp"] for each in rule.get("IpRanges", [])]
            found += [each["CidrIpv6"] for each in rule.get("Ipv6Ranges", [])]
            found += [each["PrefixListId"] for each in rule.get("PrefixListIds", [])]
    return list(dict.fromkeys(found))


def _profile(aws: AwsApi, spec: AwsCluster) -> Finding:
    if spec.profile is None:
        return warn(
            "profile",
            "none: machines read and write only what is public, unless cluster.env has keys; set cluster.profile",
        )
    name = spec.profile.rpartition("/")[2]
    try:
        profile = aws.call("iam", "get_instance_profile", {"InstanceProfileName": name})["InstanceProfile"]
    except CredentialsError:
        return warn("profile", f"{name}: this account may not look (iam:GetInstanceProfile)")
    except InfrastructureError as error:
        return fail("profile", f"{name} is not there: {error.message}: set cluster.profile, see infra/iam")
    roles = [role["RoleName"] for role in profile["Roles"]]
    return ok("profile", f"{name}: role {roles[0]}") if roles else fail("profile", f"{name} has no role: see infra/iam")


def _quotas(aws: AwsApi, spec: AwsCluster) -> Iterator[Finding]:
    """Quotas of virtual CPUs. How many of them are in use already, the API does not tell."""
    try:
        described = _types(aws, spec)
    except SwathError as error:
        yield warn("quota", f"not known: {error.message}")
        return
    cpus = {each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"] for each in described}
    for code, needed in needed_cpus(spec, cpus).items():
        try:
            quota = aws.call("service-quotas", "get_service_quota", {"ServiceCode": "ec2", "QuotaCode": code})["Quota"]
        except SwathError as error:
            yield warn("quota", f"{code} cannot be read: {error.message}; {needed} virtual CPUs are needed")
            continue
        yield compare_quota(aws.region, code, needed, quota["Value"])


def compare_quota(region: str, code: str, needed: int, allowed: float) -> Finding:
    """The finding for a quota and what a cluster needs of it."""
    if needed <= allowed:
        return ok("quota", f"{code}: {needed} of {allowed:g} virtual CPUs, less what runs already")
    remedy = (
        f"aws service-quotas request-service-quota-increase --region {region} --service-code ec2 --quota-code {code}"
    )
    return fail(
        "quota", f"{code} allows {allowed:g} virtual CPUs, {needed} are needed: have fewer workers, or {remedy}"
    )


def needed_cpus(spec: AwsCluster, cpus: dict[str, int]) -> dict[str, int]:
    """Code of a quota -> virtual CPUs that the cluster needs of it. Machine types of unknown groups are left out."""
    found: dict[str, int] = {}
    for name, spot, count in ((spec.scheduler_machine, False, 1), (spec.machine, spec.spot, spec.workers.max)):
        letters = re.match(r"[a-z]*", name)
        codes = QUOTAS.get(FAMILIES.get(letters[0] if letters else "", ""))
        if codes is not None:
            found[codes[spot]] = found.get(codes[spot], 0) + cpus.get(name, 0) * count
    return found
