"""Launch requests for the machines of one cluster: machine type, command of the container, and user data to boot from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import dask.config

from swath.cluster.machine import cloud_init
from swath.cluster.providers.contract import LaunchRequest, MachineProvider
from swath.cluster.steady_clock import steady_time
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.tls import RunSecurity
from swath.errors import InfrastructureError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

ALONE = "SWATH_CLOUD_ALONE_S"
"""Environment variable with the seconds after which a scheduler without a client ends, for tests."""


@dataclass(frozen=True)
class LaunchRequests:
    """Builds the requests of one cluster."""

    spec: AwsCluster | GcpCluster
    label: str
    """Label of the run."""
    provider: MachineProvider
    security: RunSecurity
    expires: float
    """Seconds since 1970."""

    def request(self, name: str, role: str, scheduler: str | None) -> LaunchRequest:
        """The request for a new machine. `scheduler` is the scheduler's address, for a worker.

        Raises InfrastructureError when its user data is too long.
        """
        worker, left_s = role == "worker", max(1, int(self.expires - steady_time()))
        spot = worker and self.spec.spot
        command: tuple[str, ...] = ("python", "-m", "swath.cluster.machine.entrypoint", role)
        if worker:
            count = self.spec.processes
            command += (str(scheduler), "--name", name, *(("--processes", str(count)) if count else ()))
            command += ("--spot", self.provider.fleet.kind) if spot else ()
        elif os.environ.get(ALONE):
            command += ("--alone-s", os.environ[ALONE])
        power_off_terminates = self.provider.power_off_terminates
        data = cloud_init.user_data(
            cloud_init.BootPlan(
                image=self.spec.image,
                command=command,
                env={
                    **(self.spec.env if worker else {}),
                    "DASK_INTERNAL_INHERIT_CONFIG": inherited_settings(self.security, role),
                },
                expires=int(self.expires),
                limit_s=left_s if power_off_terminates else None,
                install=self.spec.machine_image is None,
                gpus=worker and self.provider.gpus,
                registry=cloud_init.registry_of(self.spec.image),
                final_command=() if power_off_terminates else self._self_removal(),
            )
        )
        if len(data.encode()) > cloud_init.MAX_BYTES:
            raise InfrastructureError(
                f"the user data of {name} is {len(data.encode())} bytes long; clouds take {cloud_init.MAX_BYTES}",
                remedy="have fewer or shorter values in cluster.env",
            )
        type_ = self.spec.machine if worker else self.spec.scheduler_machine
        others = tuple(self.spec.machines) if worker else ()
        return LaunchRequest(name, role, type_, spot, self.label, self.expires, data, others)

    def _self_removal(self) -> tuple[str, ...]:
        """The last command of a machine that would still be paid for after it has powered itself off."""
        after = os.environ.get(ALONE)
        return ("python", "-m", "swath.cluster.machine.self_removal", *(("--after-s", after) if after else ()))


def inherited_settings(security: RunSecurity, role: str) -> str:
    """Dask's settings for the processes of one machine, with their TLS keys, as the value of DASK_INTERNAL_INHERIT_CONFIG."""
    keys: Any = security  # distributed sets these attributes by name
    tls = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": keys.tls_ca_file,
        "distributed.comm.tls.min-version": 1.3,
        f"distributed.comm.tls.{role}.cert": getattr(keys, f"tls_{role}_cert"),
        f"distributed.comm.tls.{role}.key": getattr(keys, f"tls_{role}_key"),
    }
    config: dict[str, Any] = {}
    with dask.config.set({**SETTINGS, **tls}, config=config):
        return str(dask.config.serialize(config))
