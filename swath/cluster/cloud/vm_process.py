"""One machine of a cluster, as Dask starts and closes it: no wait without an end, and what goes wrong is told with its console."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from distributed.core import Status

from swath import crashpoint
from swath.cluster.cloud.provider import MachineStatus
from swath.cluster.machine import cloud_init, entrypoint
from swath.cluster.providers.machine import Machine
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError

try:
    from dask_cloudprovider.generic.vmcluster import VMInterface
except ImportError as error:
    raise MissingExtra("dask-cloudprovider", "aws,gcp", "A cluster in a cloud") from error

if TYPE_CHECKING:
    from swath.cluster.cloud.vm_cluster import VmCluster

REMEDY = "check cluster.image and cluster.machine_image, and that machines reach the registry of the image"
T = TypeVar("T")
log = logging.getLogger(__name__)


class VmProcess(VMInterface):  # type: ignore[misc]
    """One machine of a cluster, as Dask starts and closes it."""

    def __init__(self, cluster: VmCluster, name: str, role: str) -> None:
        super().__init__()
        self.cluster: VmCluster = cluster
        self.name = name
        self.role = role
        self.machine: Machine | None = None
        self.began = time.monotonic()
        self.seen = False
        """Whether one of its processes has ever registered."""
        self.silent_since: float | None = None

    async def start(self) -> None:
        """Make it, and wait until it has its addresses (a scheduler: until it listens)."""
        self.began = time.monotonic()
        look = await self.create_vm()
        self.address = f"{self.cluster.protocol}://{look.private}:{entrypoint.PORT}"
        if look.public and self.cluster.spec.public_ip:
            self.external_address = f"{self.cluster.protocol}://{look.public}:{entrypoint.PORT}"
        if self.role == "scheduler":
            await self.wait_for_scheduler()
        self.status = Status.running

    async def create_vm(self) -> MachineStatus:
        order = self.cluster.order(self.name, self.role)
        crashpoint.reached("asking")
        self.machine = await self.cluster.ask_for(self, order)
        crashpoint.reached("made")

        async def addressed() -> MachineStatus | None:
            look = await self._look()
            return look if look.private and (look.public or not self.cluster.spec.public_ip) else None

        return await self._until(addressed, "had no address")

    async def wait_for_scheduler(self) -> None:
        """Until somebody listens at its port."""
        host, port = (self.external_address or self.address).rpartition("/")[2].rsplit(":", 1)

        async def listens() -> bool | None:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), 3)
            except (OSError, TimeoutError):
                await self._look()
                return False
            writer.close()
            return True

        await self._until(listens, f"did not listen at {host}:{port}")

    async def destroy_vm(self) -> None:
        """End it. What fails here is left to the removal of all machines of the run."""
        if self.machine is None:
            return
        try:
            await self.cluster.call(self.cluster.fleet.end, [self.machine])
        except SwathError as error:
            log.warning("%s is left to the end of the run: %s", self.name, error.message)
        self.cluster.ended(self)

    async def console(self) -> str:
        """The last that it wrote to its console; empty when that cannot be had."""
        if self.machine is None:
            return ""
        with contextlib.suppress(SwathError):
            return await self.cluster.call(self.cluster.fleet.console, self.machine)
        return ""

    async def _look(self) -> MachineStatus:
        """How it is. Raises InfrastructureError when it has ended; an API that does not answer is asked again later."""
        if self.machine is None:
            raise InfrastructureError(f"{self.name} was not made")
        try:
            look = await self.cluster.call(self.cluster.maker.look, self.machine)
        except CredentialsError:
            raise
        except SwathError as error:
            log.info("%s: %s", self.name, error.message)
            return MachineStatus(state="")
        if look.over:
            raise look.why or await self.trouble(f"ended while it came up ({look.state})")
        return look

    async def _until(self, there: Callable[[], Coroutine[Any, Any, T | None]], what: str) -> T:
        """What `there` gives when it is true. Raises InfrastructureError when the machine ends or its time to boot is over."""
        looked = time.monotonic()
        while not (found := await there()):
            now = time.monotonic()
            if now - self.began > self.cluster.spec.start_timeout_s:
                raise await self.trouble(f"{what} after {self.cluster.spec.start_timeout_s:g} s")
            if now - looked > 2 * self.cluster.pace_s:
                looked = now
                if cloud_init.ENDED in await self.console():
                    raise await self.trouble("boots, but its container has ended")
            await asyncio.sleep(min(1.0, self.cluster.pace_s))
        return found

    async def trouble(self, what: str) -> InfrastructureError:
        """What is said of a machine that does not come up, with what it wrote itself; of one that was up, that says nothing."""
        told = "" if self.seen else await self.console()
        where = f"{self.machine.id}, {self.machine.place}" if self.machine else self.cluster.fleet.place
        return InfrastructureError(
            f"the {self.role} machine {self.name} ({where}) {what}" + (f"; its console:\n{told}" if told else ""),
            remedy="" if self.seen else REMEDY,
        )
