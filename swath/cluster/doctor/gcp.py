"""Findings of a cluster on Google Cloud: credentials, zone, machine types, image, network, firewall, quota."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial

from swath.cluster.cost.prices import cores_of
from swath.cluster.doctor.finding import Finding, checked, fail, finding_of, ok, warn
from swath.cluster.doctor.networks import ANYWHERE, is_private, within
from swath.cluster.machine.entrypoint import PORT
from swath.cluster.providers.gcp.api import GceApi
from swath.cluster.providers.gcp.fleet import GceFleet
from swath.cluster.providers.gcp.google_api import Response
from swath.cluster.providers.gcp.launch import NETWORK_TAG, disk_type, has_gpus, image, interface
from swath.errors import SwathError
from swath.spec.clusters.cloud import GcpCluster
from swath.spec.clusters.machine_types import family

ALL_GPUS = "GPUS_ALL_REGIONS"
"""Quota of the whole project, 0 for a new one, beside those of the region."""
QUOTAS_PAGE = "https://console.cloud.google.com/iam-admin/quotas"
SHARED_CPUS = ("e2", "f1", "g1", "n1")
"""Families whose virtual CPUs count for the quota `CPUS`. Every other family has a quota of its own."""


def check_project(spec: GcpCluster) -> Iterator[Finding]:
    """All checks. Without credentials the others are left out."""
    gce = GceApi(spec.project)
    first = checked("credentials", lambda: _credentials(spec))
    yield first
    if first.state == "fail":
        return
    yield checked("project", lambda: _project(gce, spec), needed=False)
    for place in dict.fromkeys((spec.zone, *spec.zones)):
        in_zone = spec.model_copy(update={"zone": place})
        zone = checked("zone", partial(_zone, gce, in_zone), needed=False)
        yield zone
        if zone.state == "fail":
            return
        for name in dict.fromkeys((*spec.worker_machines, spec.scheduler_machine)):
            yield checked("machines", partial(_machine, gce, in_zone, name), needed=False)
    if spec.gpus is not None:
        yield checked("gpus", lambda: _gpus(gce, spec), needed=False)
    yield checked("image", lambda: _image(gce, spec), needed=False)
    try:
        yield from _network(gce, spec)
    except SwathError as error:
        yield finding_of("network", error, needed=False)
    try:
        yield from _quotas(gce, spec)
    except SwathError as error:
        yield warn("quota", f"cannot be read: {error.message}")


def _credentials(spec: GcpCluster) -> Finding:
    """Whether machines can be listed: a run does that first."""
    count = len(GceFleet(spec.project).machines())
    return ok(
        "credentials",
        f"machines of {spec.project} can be listed; of runs there {'is' if count == 1 else 'are'} {count}",
    )


def _project(gce: GceApi, spec: GcpCluster) -> Finding:
    """Whether there is a service account for machines. Its rights are not checked."""
    found = gce.call(lambda api: api.projects().get(project=spec.project))
    account = spec.service_account or found.get("defaultServiceAccount")
    if not account:
        return fail(
            "project", f"{spec.project} has no default service account: set cluster.service_account, see infra/iam"
        )
    return ok("project", f"{spec.project}; machines act as {account}")


def _zone(gce: GceApi, spec: GcpCluster) -> Finding:
    zone = gce.call(lambda api: api.zones().get(project=spec.project, zone=spec.zone))
    if zone.get("status") != "UP":
        return fail("zone", f"{spec.zone} is {zone.get('status')}: set another cluster.zone")
    return ok("zone", spec.zone)


def _machine(gce: GceApi, spec: GcpCluster, name: str) -> Finding:
    found = gce.call(lambda api: api.machineTypes().get(project=spec.project, zone=spec.zone, machineType=name))
    return ok("machines", f"{name}: {found.get('guestCpus')} virtual CPUs, {found.get('memoryMb', 0) / 1024:g} GiB")


def _gpus(gce: GceApi, spec: GcpCluster) -> Finding:
    gpus = spec.gpus
    if gpus is None:
        return ok("gpus", "none")
    found = gce.call(
        lambda api: api.acceleratorTypes().get(project=spec.project, zone=spec.zone, acceleratorType=gpus.type)
    )
    most = found.get("maximumCardsPerInstance", gpus.count)
    if gpus.count > most:
        return fail("gpus", f"a machine has at most {most} of {gpus.type}: set cluster.gpus.count")
    return ok("gpus", f"{gpus.count} x {gpus.type}")


def _image(gce: GceApi, spec: GcpCluster) -> Finding:
    named = image(spec, spec.machine)
    found = re.fullmatch(r"projects/([^/]+)/global/images/(family/)?([^/]+)", named)
    if found is None:
        return fail("image", f"{named} is no image: write NAME, or projects/PROJECT/global/images/NAME")
    owner, in_family, name = found.groups()
    if in_family:
        there = gce.call(lambda api: api.images().getFromFamily(project=owner, family=name))
    else:
        there = gce.call(lambda api: api.images().get(project=owner, image=name))
    if there.get("status", "READY") != "READY":
        return fail("image", f"{named} is {there['status']}: wait, or set another cluster.machine_image")
    if int(there.get("diskSizeGb", 0)) > spec.disk_gb:
        return fail("image", f"{named} needs a disk of {there['diskSizeGb']} GB: set cluster.disk_gb")
    for name in dict.fromkeys((*spec.worker_machines, spec.scheduler_machine)):
        made_for = _architecture(gce, spec, name)
        if made_for and there.get("architecture", made_for) != made_for:
            return fail("image", f"{named} is for {there['architecture']}, {name} is {made_for}")
    if has_gpus(spec) and there.get("family") == "swath":
        return fail("image", f"{named} has no driver for GPUs: make one with `make machine-image ON=gcp VARIANT=gpu`")
    if spec.machine_image is None:
        return warn("image", "plain Ubuntu: every boot installs Docker first; `make machine-image` makes a quicker one")
    return ok("image", named)


def _architecture(gce: GceApi, spec: GcpCluster, name: str) -> str:
    """Architecture of a machine type; empty where Compute Engine does not tell."""
    found = gce.call(lambda api: api.machineTypes().get(project=spec.project, zone=spec.zone, machineType=name))
    return str(found.get("architecture", ""))


# --- the network


def _network(gce: GceApi, spec: GcpCluster) -> Iterator[Finding]:
    named = interface(spec)
    match = re.fullmatch(r"projects/([^/]+)/regions/([^/]+)/subnetworks/([^/]+)", named["subnetwork"])
    if match is None:
        yield fail("network", f"{spec.subnetwork} is no subnetwork: write its name")
        return
    owner, region, subnet = match.groups()
    there = gce.call(lambda api: api.subnetworks().get(project=owner, region=region, subnetwork=subnet))
    network = str(there["network"]).rpartition("/")[2]
    if "network" in named and not named["network"].endswith(f"/{network}"):
        yield fail("network", f"subnetwork {subnet} is of the network {network}: set cluster.network")
        return
    yield ok("network", f"{network}, subnetwork {subnet} ({there['ipCidrRange']})")
    if not spec.public_ip and not there.get("privateIpGoogleAccess"):
        yield warn(
            "network",
            f"machines without public addresses reach buckets by Private Google Access, which {subnet} has not",
        )
    listed = gce.call(lambda api: api.firewalls().list(project=owner))
    rules = [rule for rule in listed.get("items", []) if applies(rule, network, spec.service_account)]
    sources = list(dict.fromkeys(each for r in rules if allows(r, PORT, PORT) for each in r.get("sourceRanges", [])))
    clients = [each for each in sources if reaches_from_outside(each, there["ipCidrRange"], public_ip=spec.public_ip)]
    make = f"gcloud compute firewall-rules create --project={owner} --network={network}"
    if not clients:
        remedy = f"{make} --allow=tcp:{PORT} --source-ranges=YOUR.ADDRESS/32 --target-tags={NETWORK_TAG} swath-client"
        yield fail("firewall", f"nobody reaches port {PORT} of the scheduler: {remedy}")
    elif set(clients) & set(ANYWHERE):
        yield warn("firewall", f"everybody reaches port {PORT}; TLS keeps them out, but your own address would do")
    else:
        yield ok("firewall", f"port {PORT} is open to {', '.join(clients)}; this machine has to be in there")
    if any(
        allows(rule, 1024, 65535) and _from_machines(rule, there["ipCidrRange"], spec.service_account) for rule in rules
    ):
        yield ok("firewall", "machines reach each other")
    else:
        remedy = f"{make} --allow=tcp:0-65535 --source-tags={NETWORK_TAG} --target-tags={NETWORK_TAG} swath-machines"
        yield fail("firewall", f"machines do not reach each other: {remedy}")


def applies(rule: Response, network: str, account: str | None) -> bool:
    """Whether a firewall rule applies to connections to a cluster's machines."""
    tags, accounts = rule.get("targetTags", []), rule.get("targetServiceAccounts", [])
    return (
        rule.get("direction", "INGRESS") == "INGRESS"
        and not rule.get("disabled", False)
        and str(rule.get("network", "")).rpartition("/")[2] == network
        and (not tags or NETWORK_TAG in tags)
        and (not accounts or account in accounts)
    )


def reaches_from_outside(source: str, subnet: str, *, public_ip: bool) -> bool:
    """Whether a rule for a source range lets a client outside of the network connect. `subnet` is the range of the machines.

    The rule default-allow-internal (10.128.0.0/9) of each new project is for machines of the network: who connects to a public address
    comes from one, and a VPN has a range of its own.
    """
    if source in ANYWHERE:
        return True
    if is_private(source) and public_ip:
        return False
    return not within(subnet, source)


def allows(rule: Response, first: int, last: int) -> bool:
    """Whether a rule allows TCP to all ports from the first to the last."""
    for allowed in rule.get("allowed", []):
        if allowed["IPProtocol"] not in ("all", "tcp", "6"):
            continue
        if not allowed.get("ports"):
            return True
        for ports in allowed["ports"]:
            low, _, high = str(ports).partition("-")
            if int(low) <= first and int(high or low) >= last:
                return True
    return False


def _from_machines(rule: Response, cidr: str, account: str | None) -> bool:
    """Whether a rule applies to connections from a cluster's machines."""
    return (
        NETWORK_TAG in rule.get("sourceTags", [])
        or (account is not None and account in rule.get("sourceServiceAccounts", []))
        or any(within(cidr, each) for each in rule.get("sourceRanges", []))
    )


# --- quotas of the region


def _quotas(gce: GceApi, spec: GcpCluster) -> Iterator[Finding]:
    region = spec.zone.rpartition("-")[0]
    found = gce.call(lambda api: api.regions().get(project=spec.project, region=region))
    quotas = {each["metric"]: each for each in found.get("quotas", [])}
    gpus = _gpus_of_worker(gce, spec)
    needs = needed_quotas(spec, gpus)
    if gpus:
        whole = gce.call(lambda api: api.projects().get(project=spec.project))
        quotas |= {each["metric"]: each for each in whole.get("quotas", []) if each["metric"] == ALL_GPUS}
    for metric, needed in needs.items():
        if metric not in quotas:
            yield warn(
                "quota",
                f"{metric} of {region} is not among the quotas that Compute Engine reports; {needed:g} are needed: {QUOTAS_PAGE}",
            )
            continue
        if metric.startswith("PREEMPTIBLE_") and not quotas[metric]["limit"]:
            yield warn(
                "quota",
                f"{metric} of {region} is 0: spot machines count for the quota of others, {needed:g} are needed",
            )
            continue
        limit, used = quotas[metric]["limit"], quotas[metric].get("usage", 0)
        usage = f"{metric} of {region}: {used:g} of {limit:g} in use, {needed:g} more are needed"
        remedy = f"have fewer workers, or ask at {QUOTAS_PAGE}"
        yield ok("quota", usage) if used + needed <= limit else fail("quota", f"{usage}: {remedy}")


def _gpus_of_worker(gce: GceApi, spec: GcpCluster) -> dict[str, int]:
    """Type -> number of GPUs of a worker machine: attached ones, or those that its type has."""
    if spec.gpus is not None:
        return {spec.gpus.type: spec.gpus.count}
    if not has_gpus(spec):
        return {}
    found = gce.call(lambda api: api.machineTypes().get(project=spec.project, zone=spec.zone, machineType=spec.machine))
    listed = found.get("accelerators", [])
    return {each["guestAcceleratorType"]: each["guestAcceleratorCount"] for each in listed}


def gpu_metric(gpu: str) -> str:
    """The quota of a type of GPU: NVIDIA_L4_GPUS of nvidia-l4, NVIDIA_A100_80GB_GPUS of nvidia-a100-80gb."""
    name = gpu.removeprefix("nvidia-").removeprefix("tesla-").upper().replace("-", "_")
    return f"NVIDIA_{'H100' if name.startswith('H100_') else name}_GPUS"


def needed_quotas(spec: GcpCluster, gpus: Mapping[str, int]) -> dict[str, float]:
    """Metric of the region, or of the whole project -> what all machines of the cluster need of it. `gpus` are those of one worker."""
    most = spec.workers.max
    found: dict[str, float] = {"INSTANCES": most + 1}
    spot = "PREEMPTIBLE_" if spec.spot else ""
    for name, prefix, count in ((spec.scheduler_machine, "", 1), (spec.machine, spot, most)):
        cpus = cores_of(name) or 2  # types without a number in their name share two
        metric = "CPUS" if family(name) in SHARED_CPUS or prefix else f"{family(name).upper()}_CPUS"
        found[f"{prefix}{metric}"] = found.get(f"{prefix}{metric}", 0) + cpus * count
        disk = "SSD_TOTAL_GB" if disk_type(name) == "pd-balanced" else "HDB_TOTAL_GB"
        found[disk] = found.get(disk, 0) + spec.disk_gb * count
    for gpu, count in gpus.items():
        found[f"{spot}{gpu_metric(gpu)}"] = count * most
    if gpus:
        found[ALL_GPUS] = sum(gpus.values()) * most
    if spec.public_ip:
        found["IN_USE_ADDRESSES"] = most + 1
    return found
