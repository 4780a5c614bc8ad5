"""Launching EC2 instances for one cluster: the RunInstances request, its image and its subnet.

RunInstances is called here and not through dask-cloudprovider's EC2Instance: that one tags an instance only some calls after
it was launched, and sends no token, so that a request that is sent twice launches two.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from swath.cluster.providers.aws.api import Ec2Api, Response
from swath.cluster.providers.aws.errors import Ec2Error
from swath.cluster.providers.aws.fleet import EXPIRES, ROLE, RUN, Ec2Fleet, machine_of
from swath.cluster.providers.contract import Fleet, LaunchRequest, MachineProvider, MachineStatus
from swath.cluster.providers.machine import Machine
from swath.cluster.providers.placement import Placement, PlacementFull, Placements
from swath.errors import InfrastructureError, UsageError
from swath.spec.clusters.cloud import AwsCluster

CANONICAL = "099720109477"
"""Owner of Ubuntu's images."""
UBUNTU = (
    "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{architecture}-server-*",
    "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{architecture}-server-*",
)
"""Names of the images that are used when the spec names none: the newest of the first name that has any."""


class Ec2Provider:
    """Launches the instances of one cluster. Raises UsageError for GPUs without a machine image that has their driver."""

    power_off_terminates = True

    def __init__(self, spec: AwsCluster) -> None:
        self.fleet: Fleet = Ec2Fleet(spec.region)
        self._spec = spec
        self._ec2 = Ec2Api(spec.region)
        self._types = self._ec2.instance_types([*spec.worker_machines, spec.scheduler_machine])
        self.gpus = has_gpus(self._types[spec.machine])
        if others := [name for name in spec.machines if has_gpus(self._types[name]) != self.gpus]:
            raise UsageError(
                f"of {', '.join(spec.worker_machines)} only some have GPUs, and workers are started alike on all of them",
                remedy=f"take {', '.join(others)} out of cluster.machines",
            )
        if self.gpus and spec.machine_image is None:
            raise UsageError(
                f"{spec.machine} has GPUs, and Ubuntu's own machine image has no driver for them",
                remedy="make one with `make machine-image`, and set cluster.machine_image",
            )

    def launch(self, request: LaunchRequest) -> Machine:
        return self._placements.launch(request, self._launch)

    def _launch(self, request: LaunchRequest, option: Placement) -> Machine | PlacementFull:
        """Launch in one subnet."""
        arguments = run_instances(
            self._spec, request, image=self._image(request.type), subnet=option.place, token=str(uuid.uuid4())
        )
        try:
            return replace(machine_of(self._spec.region, self._ec2.run_instance(arguments)), spot=request.spot)
        except Ec2Error as error:
            if not error.no_room:
                raise
            return PlacementFull(error, no_spot=error.no_spot)

    def status(self, machine: Machine) -> MachineStatus:
        instance = self._ec2.instance(machine.id)
        if instance is None:
            return MachineStatus(state="")
        state = instance["State"]["Name"]
        reason = instance.get("StateReason", {}).get("Message", "")
        return MachineStatus(
            state=f"{state}: {reason}" if reason else state,
            ended=state not in ("pending", "running"),
            private_ip=instance.get("PrivateIpAddress") or "",
            public_ip=instance.get("PublicIpAddress") or "",
        )

    @cached_property
    def _placements(self) -> Placements:
        spec = self._spec
        subnets = [spec.subnet, *spec.subnets] if spec.subnet else self._ec2.default_subnets()
        if not subnets:
            raise InfrastructureError(
                f"{spec.region} has no default VPC to put machines in",
                remedy="set cluster.subnet, or make one with `aws ec2 create-default-vpc`",
            )
        return Placements(subnets, on_demand=spec.on_demand)

    def _image(self, type_: str) -> Response:
        """The machine image for a machine type."""
        if self._spec.machine_image:
            return self._own_image
        supported = self._types[type_]["ProcessorInfo"]["SupportedArchitectures"]
        architecture = "arm64" if "arm64" in supported else "amd64"
        if architecture not in self._ubuntu:
            for name in UBUNTU:
                if found := self._ec2.images(CANONICAL, name.format(architecture=architecture)):
                    self._ubuntu[architecture] = found[0]
                    break
            else:
                raise InfrastructureError(
                    f"{self._spec.region} has no image of Ubuntu 24.04 or 22.04 for {architecture}",
                    remedy="make one with `make machine-image`, and set cluster.machine_image",
                )
        return self._ubuntu[architecture]

    @cached_property
    def _own_image(self) -> Response:
        return self._ec2.image(str(self._spec.machine_image))

    @cached_property
    def _ubuntu(self) -> dict[str, Response]:
        return {}


def has_gpus(instance_type: Response) -> bool:
    """Whether an instance type has GPUs that CUDA can use."""
    return any(each.get("Manufacturer") == "NVIDIA" for each in instance_type.get("GpuInfo", {}).get("Gpus", []))


def run_instances(
    spec: AwsCluster, request: LaunchRequest, *, image: Response, subnet: str, token: str
) -> dict[str, Any]:
    """Arguments of RunInstances for one instance. Sent twice with the same `token`, they launch one."""
    tags = ec2_tags({"Name": request.name, RUN: request.label, EXPIRES: str(int(request.expires)), ROLE: request.role})
    tagged_resources = ("instance", "volume", *(("spot-instances-request",) if request.spot else ()))
    arguments: dict[str, Any] = {
        "ClientToken": token,
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": image["ImageId"],
        "InstanceType": request.type,
        "UserData": request.user_data,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        "BlockDeviceMappings": [
            {
                "DeviceName": image.get("RootDeviceName") or "/dev/sda1",
                "Ebs": {"DeleteOnTermination": True, "VolumeSize": spec.disk_gb, "VolumeType": "gp3"},
            }
        ],
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": spec.public_ip,
                "DeleteOnTermination": True,
                "Groups": list(spec.security_groups),
                "SubnetId": subnet,
            }
        ],
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in tagged_resources],
    }
    if spec.profile:
        arguments["IamInstanceProfile"] = {"Arn" if spec.profile.startswith("arn:") else "Name": spec.profile}
    if request.spot:
        arguments["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
    return arguments


def ec2_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in EC2's notation."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


_: type[MachineProvider] = Ec2Provider
