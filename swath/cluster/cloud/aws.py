"""Machines on Amazon EC2: how one is asked for, and the cluster that they make.

RunInstances is asked here and not through dask-cloudprovider's EC2Instance: that one tags a machine only some calls after it was
made, and has no token which keeps a request that is sent twice from making two machines.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swath.cluster.cloud.provider import LaunchRequest, MachineProvider, MachineStatus
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.providers.ec2 import EXPIRES, NO_ROOM, ROLE, RUN, Answer, Ec2, Ec2Error, Ec2Fleet, machine
from swath.cluster.providers.machine import Fleet, Machine
from swath.cluster.workers.tls import RunSecurity
from swath.errors import InfrastructureError, UsageError
from swath.spec.clusters.cloud import AwsCluster

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

__all__ = ["Ec2Fleet", "Ec2Provider", "ec2_cluster", "request"]
CANONICAL = "099720109477"
UBUNTU = (
    "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{architecture}-server-*",
    "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-{architecture}-server-*",
)
"""What machines boot when the spec names no image: the newest of the first that there is."""


def ec2_cluster(spec: AwsCluster, label: str, security: RunSecurity, loop: IOLoop) -> VmCluster:
    """A cluster of machines on EC2, not started. Raises CredentialsError and InfrastructureError when something that it needs
    is missing, before any machine is made."""
    types = {"scheduler": spec.scheduler_machine, "worker": spec.machine}
    return VmCluster(spec, label, security, loop, Ec2Provider(spec), types)


class Ec2Provider:
    """What makes the machines of one cluster."""

    powers_off = True

    def __init__(self, spec: AwsCluster) -> None:
        self.fleet: Fleet = Ec2Fleet(spec.region)
        self._spec = spec
        self._ec2 = Ec2(spec.region)
        self._types = self._ec2.types([spec.machine, spec.scheduler_machine])
        self.gpus = has_gpus(self._types[spec.machine])
        if self.gpus and spec.machine_image is None:
            raise UsageError(
                f"{spec.machine} has GPUs, and Ubuntu's own machine image has no driver for them",
                remedy="make one with `make machine-image`, and set cluster.machine_image",
            )

    def make(self, order: LaunchRequest) -> Machine:
        token = str(uuid.uuid4())
        for number, subnet in enumerate(self._subnets, 1):
            asked = request(self._spec, order, image=self._image(order.type), subnet=subnet, token=f"{token}-{number}")
            try:
                return machine(self._spec.region, self._ec2.run(asked))
            except Ec2Error as error:
                if error.code not in NO_ROOM or number == len(self._subnets):
                    raise
        raise InfrastructureError(
            f"{self._spec.region} has no default VPC to put machines in",
            remedy="set cluster.subnet, or make one with `aws ec2 create-default-vpc`",
        )

    def look(self, machine: Machine) -> MachineStatus:
        found = self._ec2.instance(machine.id)
        if found is None:
            return MachineStatus(state="")
        state = found["State"]["Name"]
        reason = found.get("StateReason", {}).get("Message", "")
        return MachineStatus(
            state=f"{state}: {reason}" if reason else state,
            over=state not in ("pending", "running"),
            private=found.get("PrivateIpAddress") or "",
            public=found.get("PublicIpAddress") or "",
        )

    @cached_property
    def _subnets(self) -> list[str]:
        return [self._spec.subnet] if self._spec.subnet else self._ec2.default_subnets()

    def _image(self, type_: str) -> Answer:
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
    def _own_image(self) -> Answer:
        return self._ec2.image(str(self._spec.machine_image))

    @cached_property
    def _ubuntu(self) -> dict[str, Answer]:
        return {}


def has_gpus(described: Answer) -> bool:
    """Whether a machine type has GPUs that CUDA can use."""
    return any(each.get("Manufacturer") == "NVIDIA" for each in described.get("GpuInfo", {}).get("Gpus", []))


def request(spec: AwsCluster, order: LaunchRequest, *, image: Answer, subnet: str, token: str) -> dict[str, Any]:
    """What EC2 is asked for. `token`: sent twice with the same one, a request makes one machine."""
    tags = tagged({"Name": order.name, RUN: order.label, EXPIRES: str(int(order.expires)), ROLE: order.role})
    kinds = ("instance", "volume", *(("spot-instances-request",) if order.spot else ()))
    asked: dict[str, Any] = {
        "ClientToken": token,
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": image["ImageId"],
        "InstanceType": order.type,
        "UserData": order.user_data,
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
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds],
    }
    if spec.profile:
        asked["IamInstanceProfile"] = {"Arn" if spec.profile.startswith("arn:") else "Name": spec.profile}
    if order.spot:
        asked["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
    return asked


def tagged(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as EC2 writes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


_: type[MachineProvider] = Ec2Provider
