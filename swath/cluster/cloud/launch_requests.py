"""What the cloud is asked for, for each machine of a cluster: its type, and the user data that it boots from."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.config

from swath.cluster.cloud.provider import LaunchRequest, MachineProvider
from swath.cluster.machine import cloud_init
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.tls import RunSecurity
from swath.errors import InfrastructureError
from swath.spec.clusters.cloud import CloudCluster

ALONE = "SWATH_CLOUD_ALONE_S"
"""Environment variable with the seconds after which a scheduler without a client ends, for tests."""


@dataclass(frozen=True)
class LaunchRequests:
    """Of one cluster."""

    spec: CloudCluster
    label: str
    maker: MachineProvider
    types: Mapping[str, str]
    """Machine type of each role."""
    security: RunSecurity
    expires: float
    """Seconds since 1970."""

    def of(self, name: str, role: str, scheduler: str | None) -> LaunchRequest:
        """For a new machine; `scheduler` is the address that a worker goes to. Raises InfrastructureError when its user data
        is too long."""
        worker, left_s = role == "worker", max(1, int(self.expires - time.time()))
        spot = worker and self.spec.spot
        words: tuple[str, ...] = ("python", "-m", "swath.cluster.machine.entrypoint", role)
        if worker:
            count = self.spec.processes
            words += (str(scheduler), "--name", name, *(("--processes", str(count)) if count else ()))
            words += ("--spot", self.maker.fleet.kind) if spot else ()
        elif os.environ.get(ALONE):
            words += ("--alone-s", os.environ[ALONE])
        data = cloud_init.user_data(
            cloud_init.BootPlan(
                image=self.spec.image,
                command=words,
                env={
                    **(self.spec.env if worker else {}),
                    "DASK_INTERNAL_INHERIT_CONFIG": inherited(self.security, role),
                },
                expires=int(self.expires),
                limit_s=left_s if self.maker.powers_off else None,
                install=self.spec.machine_image is None,
                gpus=worker and self.maker.gpus,
                registry=cloud_init.registry_of(self.spec.image),
                afterwards=() if self.maker.powers_off else self._removal(),
            )
        )
        if len(data.encode()) > cloud_init.MOST_BYTES:
            raise InfrastructureError(
                f"what {name} needs to boot is {len(data.encode())} bytes long; clouds take {cloud_init.MOST_BYTES}",
                remedy="have fewer or shorter values in cluster.env",
            )
        return LaunchRequest(name, role, self.types[role], spot, self.label, self.expires, data)

    def _removal(self) -> tuple[str, ...]:
        """Where a machine that is only powered off would still be paid for."""
        after = os.environ.get(ALONE)
        return ("python", "-m", "swath.cluster.machine.self_removal", *(("--after-s", after) if after else ()))


def inherited(security: RunSecurity, role: str) -> str:
    """Dask's settings for the processes of one machine, TLS among them, as Dask hands them down in the environment."""
    known: Any = security
    tls = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": known.tls_ca_file,
        "distributed.comm.tls.min-version": 1.3,
        f"distributed.comm.tls.{role}.cert": getattr(known, f"tls_{role}_cert"),
        f"distributed.comm.tls.{role}.key": getattr(known, f"tls_{role}_key"),
    }
    config: dict[str, Any] = {}
    with dask.config.set({**SETTINGS, **tls}, config=config):
        return str(dask.config.serialize(config))
