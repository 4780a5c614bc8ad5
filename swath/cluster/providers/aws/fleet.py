"""The EC2 instances that swath launched in one region: listed by their tags, and terminated."""

from __future__ import annotations

from collections.abc import Sequence

from swath.cluster.providers.aws.api import AwsLimits, Ec2Api, Response
from swath.cluster.providers.aws.errors import Ec2Error
from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import CloudKind, Machine, console_tail
from swath.errors import SwathError

RUN, EXPIRES, ROLE = "swath:run", "swath:expires", "swath:role"
"""Tags of every instance and of its disk."""


class Ec2Fleet:
    """The instances of one region."""

    kind: CloudKind = "aws"

    def __init__(self, region: str, limits: AwsLimits = AwsLimits()) -> None:
        self.place = region
        self._ec2 = Ec2Api(region, limits)

    def machines(self, run: str | None = None) -> list[Machine]:
        tag = {"Name": f"tag:{RUN}", "Values": [run]} if run else {"Name": "tag-key", "Values": [RUN]}
        return [machine_of(self.place, each) for each in self._ec2.instances(tag)]

    def terminate(self, machines: Sequence[Machine]) -> None:
        instance_ids = [each.id for each in machines]
        if not instance_ids:
            return
        try:
            self._ec2.terminate(instance_ids)
            return
        except Ec2Error as error:
            if len(instance_ids) == 1 and not error.not_found:
                raise
        first: SwathError | None = None
        for instance_id in instance_ids:  # a request with several is refused as a whole
            try:
                self._ec2.terminate([instance_id])
            except Ec2Error as error:
                if not error.not_found:
                    first = first or error
        if first is not None:
            raise first

    def console(self, machine: Machine, lines: int = 20) -> str:
        return console_tail(self._ec2.console(machine.id), lines)

    def removal_command(self, machine: Machine) -> str:
        return f"aws ec2 terminate-instances --region {self.place} --instance-ids {machine.id}"


def machine_of(region: str, instance: Response) -> Machine:
    """A machine from EC2's description of an instance."""
    tags = {each["Key"]: each["Value"] for each in instance.get("Tags", [])}
    expires = tags.get(EXPIRES, "")
    return Machine(
        id=instance["InstanceId"],
        name=tags.get("Name") or instance["InstanceId"],
        run=tags.get(RUN, ""),
        role=tags.get(ROLE, ""),
        expires=float(expires) if expires.isdecimal() else 0,
        place=region,
        state=instance["State"]["Name"],
        type=instance.get("InstanceType", ""),
        zone=(instance.get("Placement") or {}).get("AvailabilityZone", ""),
    )


_: type[Fleet] = Ec2Fleet
