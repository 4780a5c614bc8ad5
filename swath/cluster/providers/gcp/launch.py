"""Launching Compute Engine instances for one cluster: the body of the insert request, and the state of its operation."""

from __future__ import annotations

import math
import re
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any

from swath.cluster.providers.contract import Fleet, LaunchRequest, MachineProvider, MachineStatus
from swath.cluster.providers.gcp.errors import GceError, error_of_operation
from swath.cluster.providers.gcp.fleet import EXPIRES, ROLE, RUN, GceFleet, machine_of
from swath.cluster.providers.gcp.google_api import SCOPE
from swath.cluster.providers.machine import Machine
from swath.cluster.providers.placement import Placement, PlacementFull, Placements, no_room
from swath.cluster.steady_clock import steady_time
from swath.spec.clusters.cloud import GcpCluster
from swath.spec.clusters.machine_types import NOT_MIGRATED, boots_from_hyperdisk, family, gcp_has_gpus, gcp_is_arm

UBUNTU = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-{architecture}"
"""The image that is used when the spec names none."""
NETWORK_TAG = "swath"
"""Of all instances, for firewall rules."""
NAME_LENGTH = 63
"""Characters of an instance's name."""
MIN_RUN_S = 30
"""The shortest time limit that Compute Engine accepts."""


def instance_body(spec: GcpCluster, request: LaunchRequest, *, seconds: float) -> dict[str, Any]:
    """Body of the insert request.

    After `seconds` Compute Engine deletes the instance with its disk, whatever it does. An instance that only shut itself down
    would still be paid for, and its time limit would not apply any more.
    """
    type_ = request.type
    gpus = spec.gpus if request.role == "worker" else None
    labels = {RUN: request.label, EXPIRES: str(math.ceil(request.expires)), ROLE: request.role}
    terminated = request.spot or gpus is not None or family(type_) in NOT_MIGRATED or type_.endswith("-metal")
    body: dict[str, Any] = {
        "name": instance_name(request.name),
        "machineType": f"zones/{spec.zone}/machineTypes/{type_}",
        "labels": labels,
        "tags": {"items": [NETWORK_TAG]},
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "initializeParams": {
                    "sourceImage": image(spec, type_),
                    "diskType": f"zones/{spec.zone}/diskTypes/{disk_type(type_)}",
                    "diskSizeGb": str(spec.disk_gb),
                    "labels": labels,
                },
            }
        ],
        "networkInterfaces": [interface(spec)],
        "serviceAccounts": [{"email": spec.service_account or "default", "scopes": [SCOPE]}],
        "metadata": {"items": [{"key": "user-data", "value": request.user_data}]},
        "scheduling": {
            "provisioningModel": "SPOT" if request.spot else "STANDARD",
            "maxRunDuration": {"seconds": str(max(MIN_RUN_S, math.ceil(seconds)))},
            "instanceTerminationAction": "DELETE",
            "onHostMaintenance": "TERMINATE" if terminated else "MIGRATE",
            "automaticRestart": False,
        },
    }
    if gpus is not None:
        type_of_gpu = f"projects/{spec.project}/zones/{spec.zone}/acceleratorTypes/{gpus.type}"
        body["guestAccelerators"] = [{"acceleratorType": type_of_gpu, "acceleratorCount": gpus.count}]
    return body


def has_gpus(spec: GcpCluster) -> bool:
    """Whether workers have GPUs."""
    return spec.gpus is not None or gcp_has_gpus(spec.machine)


def disk_type(machine_type: str) -> str:
    """The type of the boot disk for a machine type."""
    return "hyperdisk-balanced" if boots_from_hyperdisk(machine_type) else "pd-balanced"


def image(spec: GcpCluster, machine_type: str) -> str:
    """Path of the machine image, in the spec's project unless it names another one."""
    if spec.machine_image is None:
        return UBUNTU.format(architecture="arm64" if gcp_is_arm(machine_type) else "amd64")
    named = re.sub(r"^https://[^/]+/compute/[^/]+/", "", spec.machine_image)
    if named.startswith(("projects/", "global/")):
        return named
    return f"projects/{spec.project}/global/images/{named}"


def interface(spec: GcpCluster) -> dict[str, Any]:
    """Network interface of an instance. The network is left out where the spec names only a subnetwork, whose network may belong
    to another project."""
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


@dataclass(frozen=True)
class LaunchLimits:
    """How long a launch is waited for where there is another zone to try."""

    settle_s: float = 60.0
    poll_s: float = 0.5


class GceProvider:
    """Launches the instances of one cluster."""

    power_off_terminates = False

    def __init__(self, spec: GcpCluster, limits: LaunchLimits = LaunchLimits()) -> None:
        zones = (spec.zone, *spec.zones)
        fleet = GceFleet(spec.project, zones=tuple(dict.fromkeys(zones)))
        self.fleet: Fleet = fleet
        self.gpus = has_gpus(spec)
        self._spec = spec
        self._api = fleet.api
        self._limits = limits
        self._placements = Placements(zones, on_demand=spec.on_demand)
        self._operations: dict[str, tuple[str, Placement]] = {}
        """Instance name -> the operation that launches it, while that is running, and where."""

    def launch(self, request: LaunchRequest) -> Machine:
        # The operation tells only at its end that the zone has no room. Without another placement `status` finds that out.
        others = len(self._placements.of(request.type, *request.other_types, spot=request.spot)) > 1
        settle_s = self._limits.settle_s if others else 0.0

        def attempt(placed: LaunchRequest, option: Placement) -> Machine | PlacementFull:
            try:
                return self._launch(placed, option, settle_s)
            except GceError as error:
                if not error.no_room:
                    raise
                return PlacementFull(error)

        return self._placements.launch(request, attempt)

    def _launch(self, request: LaunchRequest, option: Placement, settle_s: float) -> Machine:
        """Launch in one zone, and wait for the end of the operation for some time."""
        zone = option.place
        spec = self._spec.model_copy(update={"zone": zone})
        body = instance_body(spec, request, seconds=request.expires - steady_time())
        name = body["name"]
        operation = self._api.insert(zone, body, str(uuid.uuid4()))
        if operation is None:
            return replace(machine_of(zone, self._api.instance(zone, name) or body), spot=option.spot)
        deadline = time.monotonic() + settle_s
        while True:
            if error := error_of_operation(self._spec.project, operation):
                raise error
            if operation.get("status") == "DONE" or time.monotonic() > deadline:
                break
            time.sleep(self._limits.poll_s)
            operation = {"targetId": operation["targetId"], **self._api.operation(zone, operation["name"])}
        self._operations[name] = operation["name"], option
        launched = machine_of(zone, {**body, "id": operation["targetId"], "status": "PROVISIONING"})
        return replace(launched, spot=option.spot)

    def status(self, machine: Machine) -> MachineStatus:
        if machine.name in self._operations:
            operation_name, option = self._operations[machine.name]
            operation = self._api.operation(machine.place, operation_name)
            if error := error_of_operation(self._spec.project, operation):  # accepted, but then the zone had none left
                if isinstance(error, GceError) and error.no_room:
                    self._placements.note_full(option)
                    error = no_room("worker", {option: PlacementFull(error)})
                return MachineStatus(state="", ended=True, error=error)
            if operation.get("status") == "DONE":
                del self._operations[machine.name]
        instance = self._api.instance(machine.place, machine.name) or {}
        [interface, *_] = instance.get("networkInterfaces") or [{}]
        [access, *_] = interface.get("accessConfigs") or [{}]
        state = instance.get("status", "")
        return MachineStatus(state, state in ENDED, interface.get("networkIP", ""), access.get("natIP", ""))


ENDED = ("PENDING_STOP", "STOPPING", "STOPPED", "SUSPENDING", "SUSPENDED", "TERMINATED", "DEPROVISIONING")
"""States of an instance that does not compute any more."""


def instance_name(name: str) -> str:
    """A name that Compute Engine accepts: a letter first, no `_`, 63 characters at most. Its end, which is unique, is kept whole."""
    return "swath-" + name.replace("_", "-")[-(NAME_LENGTH - len("swath-")) :]


_: type[MachineProvider] = GceProvider
