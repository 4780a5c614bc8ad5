"""The resources that runs created in a namespace, as a fleet: clusters of Dask's operator, deployments and pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.kubernetes.api import KubernetesApi
from swath.cluster.providers.machine import CloudKind, Machine
from swath.errors import SwathError

RUN, EXPIRES, ROLE = "swath-run", "swath-expires", "swath-role"
"""Labels of the cluster resource; the operator copies them to its deployments and pods."""
KINDS = ("DaskCluster", "Deployment", "Pod")
"""Owners first: an owner would create again what was deleted before it."""
ENDED_PHASES = ("Succeeded", "Failed")
"""Pods in these phases use no node any more."""


class KubernetesFleet:
    """The resources of one namespace."""

    kind: CloudKind = "kubernetes"

    def __init__(self, place: str) -> None:
        self.place = place
        self._api: KubernetesApi | None = None

    @property
    def api(self) -> KubernetesApi:
        """Connected at its first use."""
        self._api = self._api or KubernetesApi(self.place)
        return self._api

    def machines(self, run: str | None = None) -> list[Machine]:
        selector = f"{RUN}={run}" if run else RUN
        return [
            self._machine(kind, each)
            for kind in KINDS
            for each in self.api.find(kind, selector)
            if each.get("status", {}).get("phase") not in ENDED_PHASES or kind != "Pod"
        ]

    def terminate(self, machines: Sequence[Machine]) -> None:
        first: SwathError | None = None
        for each in sorted(machines, key=lambda each: KINDS.index(each.type)):
            try:
                self.api.delete(each.type, each.name)
            except SwathError as error:
                first = first or error
        if first is not None:
            raise first

    def console(self, machine: Machine, lines: int = 20) -> str:
        return self.api.log(machine.name, lines) if machine.type == "Pod" else ""

    def removal_command(self, machine: Machine) -> str:
        context, _, namespace = self.place.rpartition("/")
        command = ["kubectl", *([f"--context={context}"] if context else []), f"--namespace={namespace}", "delete"]
        return " ".join([*command, machine.type.lower(), machine.name])

    def _machine(self, kind: str, resource: Mapping[str, Any]) -> Machine:
        metadata = resource["metadata"]
        labels = metadata.get("labels", {})
        expires = str(labels.get(EXPIRES, ""))
        status = resource.get("status", {})
        return Machine(
            id=metadata.get("uid", metadata["name"]),
            name=metadata["name"],
            run=labels[RUN],
            role=labels.get(ROLE, "cluster"),
            expires=float(expires) if expires.isdecimal() else 0.0,
            place=self.place,
            state="deleted" if metadata.get("deletionTimestamp") else status.get("phase", ""),
            type=kind,
        )


_: type[Fleet] = KubernetesFleet
