"""The Compute Engine instances that swath launched in one project: listed by their labels, and deleted."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable, Sequence

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.gcp.api import GceApi
from swath.cluster.providers.gcp.google_api import GoogleLimits, Response
from swath.cluster.providers.machine import CloudKind, Machine, console_tail

RUN, EXPIRES, ROLE = "swath-run", "swath-expires", "swath-role"
"""Labels of every instance and of its disk."""
CONCURRENT_DELETES = 8


class GceFleet:
    """The instances of one project, in all zones.

    zones: those in which one run launches its instances. Its instances are then listed there, which is a request each; a listing of
    all zones is an answer of more than a hundred parts, whatever is in them.
    """

    kind: CloudKind = "gcp"

    def __init__(self, project: str, limits: GoogleLimits = GoogleLimits(), zones: Sequence[str] = ()) -> None:
        self.place = project
        self._zones = tuple(zones)
        self.api = GceApi(project, limits)

    def machines(self, run: str | None = None) -> list[Machine]:
        # A stopped instance (TERMINATED in Compute Engine's terms) is listed too: its disk is still paid for.
        condition = f"labels.{RUN}={run}" if run else f"labels.{RUN}:*"
        listed: Iterable[Machine]
        if run and self._zones:
            listed = (machine_of(zone, each) for zone in self._zones for each in self.api.instances_in(zone, condition))
        else:
            listed = (machine_of(zone, each) for zone, each in self.api.instances(condition))
        return [each for each in listed if each.run and run in (None, each.run)]

    def terminate(self, machines: Sequence[Machine]) -> None:
        with concurrent.futures.ThreadPoolExecutor(CONCURRENT_DELETES, thread_name_prefix="swath-gce") as pool:
            deletes = [pool.submit(self.api.delete, each.place, each.name) for each in machines]
        errors = [error for each in deletes if (error := each.exception()) is not None]
        if errors:
            raise errors[0]

    def console(self, machine: Machine, lines: int = 20) -> str:
        return console_tail(self.api.serial_output(machine.place, machine.name), lines)

    def removal_command(self, machine: Machine) -> str:
        return f"gcloud compute instances delete {machine.name} --project={self.place} --zone={machine.place} --quiet"


def machine_of(zone: str, instance: Response) -> Machine:
    """A machine from Compute Engine's description of an instance."""
    labels = instance.get("labels", {})
    expires = str(labels.get(EXPIRES, ""))
    return Machine(
        id=str(instance.get("id", "")),
        name=instance["name"],
        run=labels.get(RUN, ""),
        role=labels.get(ROLE, ""),
        expires=float(expires) if expires.isdecimal() else 0,
        place=zone,
        state=instance.get("status", ""),
        type=instance.get("machineType", "").rpartition("/")[2],
    )


_: type[Fleet] = GceFleet
