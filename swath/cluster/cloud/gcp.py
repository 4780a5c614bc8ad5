"""Machines on Google Compute Engine: how one is asked for, watched and given back."""

from __future__ import annotations

import math
import re
import time
import uuid
from typing import TYPE_CHECKING, Any

from swath.cluster.cloud.provider import LaunchRequest, MachineProvider, MachineStatus
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.providers.gce import EXPIRES, ROLE, RUN, SCOPE, GceFleet, failure, machine
from swath.cluster.providers.machine import Fleet, Machine
from swath.cluster.workers.tls import RunSecurity
from swath.errors import UsageError
from swath.spec.clusters.cloud import GcpCluster

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

UBUNTU = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-{architecture}"
"""What machines boot when the spec names no image."""
TAG = "swath"
"""Network tag of all machines, for firewall rules."""
NAME_LENGTH = 63
"""Of a machine's name."""
LEAST_S = 30
"""Compute Engine takes no time limit below."""
ARM = ("a4x", "c4a", "n4a", "t2a")
HAVE_GPUS = ("a2", "a3", "a4", "a4x", "g2", "g4")
"""Families of machine types whose GPUs are part of the machine."""
NEVER_MOVED = (*HAVE_GPUS, "h3", "h4d")
"""Families that cannot be moved to another host while they run."""
HYPERDISK_ONLY = ("a4", "a4x", "c4", "c4a", "c4d", "g4", "h4d", "m4", "n4", "n4a", "n4d", "x4")
"""Families that boot from no persistent disk."""


def instance(
    spec: GcpCluster, *, name: str, role: str, label: str, expires: float, seconds: float, user_data: str
) -> dict[str, Any]:
    """What Compute Engine is asked for.

    `expires` in seconds since 1970, `seconds` from now: then the machine is deleted with its disk, whatever it does. A machine
    that only shut itself down would still be paid for, and would have forgotten when it is to be deleted.
    """
    worker = role == "worker"
    type_ = spec.machine if worker else spec.scheduler_machine
    spot = worker and spec.spot
    gpus = spec.gpus if worker else None
    labels = {RUN: label, EXPIRES: str(math.ceil(expires)), ROLE: role}
    stays = spot or gpus is not None or family(type_) in NEVER_MOVED or type_.endswith("-metal")
    body: dict[str, Any] = {
        "name": name,
        "machineType": f"zones/{spec.zone}/machineTypes/{type_}",
        "labels": labels,
        "tags": {"items": [TAG]},
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "initializeParams": {
                    "sourceImage": image(spec, type_),
                    "diskType": f"zones/{spec.zone}/diskTypes/{disk(type_)}",
                    "diskSizeGb": str(spec.disk_gb),
                    "labels": labels,
                },
            }
        ],
        "networkInterfaces": [interface(spec)],
        "serviceAccounts": [{"email": spec.service_account or "default", "scopes": [SCOPE]}],
        "metadata": {"items": [{"key": "user-data", "value": user_data}]},
        "scheduling": {
            "provisioningModel": "SPOT" if spot else "STANDARD",
            "maxRunDuration": {"seconds": str(max(LEAST_S, math.ceil(seconds)))},
            "instanceTerminationAction": "DELETE",
            "onHostMaintenance": "TERMINATE" if stays else "MIGRATE",
            "automaticRestart": False,
        },
    }
    if gpus is not None:
        type_of_gpu = f"projects/{spec.project}/zones/{spec.zone}/acceleratorTypes/{gpus.type}"
        body["guestAccelerators"] = [{"acceleratorType": type_of_gpu, "acceleratorCount": gpus.count}]
    return body


def family(machine_type: str) -> str:
    """Such as n2, of n2-standard-4."""
    return machine_type.partition("-")[0]


def has_gpus(spec: GcpCluster) -> bool:
    """Whether workers have GPUs."""
    return spec.gpus is not None or family(spec.machine) in HAVE_GPUS


def disk(machine_type: str) -> str:
    """The type of disk that a machine type boots from."""
    only = family(machine_type) in HYPERDISK_ONLY or machine_type.endswith("-metal")
    return "hyperdisk-balanced" if only else "pd-balanced"


def image(spec: GcpCluster, machine_type: str) -> str:
    """The machine image as Compute Engine names it: of the spec's project, unless it names another."""
    if spec.machine_image is None:
        return UBUNTU.format(architecture="arm64" if family(machine_type) in ARM else "amd64")
    named = re.sub(r"^https://[^/]+/compute/[^/]+/", "", spec.machine_image)
    if named.startswith(("projects/", "global/")):
        return named
    return f"projects/{spec.project}/global/images/{named}"


def interface(spec: GcpCluster) -> dict[str, Any]:
    """How a machine is connected. The network itself is named unless a subnetwork alone says it (it may be another project's)."""
    region = spec.zone.rpartition("-")[0]
    host = re.search(r"projects/[^/]+", spec.network)
    within = host[0] if host else f"projects/{spec.project}"
    subnetwork = spec.subnetwork or spec.network.rpartition("/")[2]
    named: dict[str, Any] = {
        "subnetwork": subnetwork if "/" in subnetwork else f"{within}/regions/{region}/subnetworks/{subnetwork}"
    }
    if "network" in spec.model_fields_set or spec.subnetwork is None:
        named["network"] = f"{within}/global/networks/{spec.network.rpartition('/')[2]}"
    if spec.public_ip:
        named["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    return named


class GceProvider:
    """Makes the machines of one cluster. Raises UsageError for GPUs without a machine image that has their driver."""

    powers_off = False

    def __init__(self, spec: GcpCluster) -> None:
        fleet = GceFleet(spec.project)
        self.fleet: Fleet = fleet
        self.gpus = has_gpus(spec)
        self._spec = spec
        self._compute = fleet.compute
        if self.gpus and spec.machine_image is None:
            raise UsageError(
                f"{spec.machine} has GPUs, but a plain Ubuntu has no driver for them",
                remedy="set cluster.machine_image to one with NVIDIA's driver and container toolkit",
            )
        self._coming: dict[str, str] = {}
        """Of machines by name: the operations that make them, as long as they are under way."""

    def make(self, order: LaunchRequest) -> Machine:
        name = name_of(order.name)
        body = instance(
            self._spec,
            name=name,
            role=order.role,
            label=order.label,
            expires=order.expires,
            seconds=order.expires - time.time(),
            user_data=order.user_data,
        )
        zone = self._spec.zone
        operation = self._compute.insert(zone, body, str(uuid.uuid4()))
        if operation is None:
            return machine(zone, self._compute.instance(zone, name) or body)
        if why := failure(self._spec.project, operation):
            raise why
        self._coming[name] = operation["name"]
        return machine(zone, {**body, "id": operation["targetId"], "status": "PROVISIONING"})

    def look(self, machine: Machine) -> MachineStatus:
        if machine.name in self._coming:
            operation = self._compute.operation(machine.place, self._coming[machine.name])
            if why := failure(self._spec.project, operation):  # taken at first, but then the zone has no such machine
                return MachineStatus(state="", over=True, why=why)
            if operation.get("status") == "DONE":
                del self._coming[machine.name]
        listed = self._compute.instance(machine.place, machine.name) or {}
        [interface, *_] = listed.get("networkInterfaces") or [{}]
        [access, *_] = interface.get("accessConfigs") or [{}]
        state = listed.get("status", "")
        return MachineStatus(state, state in OVER, interface.get("networkIP", ""), access.get("natIP", ""))


OVER = ("PENDING_STOP", "STOPPING", "STOPPED", "SUSPENDING", "SUSPENDED", "TERMINATED", "DEPROVISIONING")
"""States of a machine that computes no more."""


def name_of(name: str) -> str:
    """As Compute Engine takes it: a letter first, no `_`, 63 characters at most; the end of a name is what makes it unlike others."""
    return "swath-" + name.replace("_", "-")[-(NAME_LENGTH - len("swath-")) :]


def gce_cluster(spec: GcpCluster, label: str, security: RunSecurity, loop: IOLoop) -> VmCluster:
    """A cluster that is not started yet."""
    types = {"scheduler": spec.scheduler_machine, "worker": spec.machine}
    return VmCluster(spec, label, security, loop, GceProvider(spec), types)


_: type[MachineProvider] = GceProvider
