"""One machine of a cluster, as Dask's SpecCluster starts and closes it. Every wait has a timeout, and errors have the console's end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from distributed.core import Status

from swath import crashpoint
from swath.cluster.cloud.host import ClusterHost
from swath.cluster.machine import cloud_init, entrypoint
from swath.cluster.providers.contract import MachineStatus
from swath.cluster.providers.machine import Machine
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError

try:
    from dask_cloudprovider.generic.vmcluster import VMInterface
except ImportError as error:
    raise MissingExtra("dask-cloudprovider", "aws,gcp", "A cluster in a cloud") from error

REMEDY = "check cluster.image and cluster.machine_image, and that machines reach the registry of the image"
FIREWALL = (
    "a firewall is the likely cause when there is no answer: its rules (security groups, firewall rules, VPN) must allow this machine"
    " to connect to port 8786 of the scheduler; `pipe doctor` checks them"
)
CONNECT_S = 3.0
T = TypeVar("T")
log = logging.getLogger(__name__)


class VmProcess(VMInterface):  # type: ignore[misc]
    """A scheduler machine or a worker machine."""

    def __init__(self, cluster: ClusterHost, name: str, role: str) -> None:
        super().__init__()
        self.cluster: ClusterHost = cluster
        self.name = name
        self.role = role
        self.began = time.monotonic()
        self.registered = False
        """Whether one of its processes has ever been at the scheduler."""
        self.unreached = ""
        """Address and port at which the scheduler was not reached at the last try, and why."""
        self._console = ""
        """The console's end at the last look while it came up."""
        self.silent_since: float | None = None
        """Since when none of its processes is at the scheduler any more, by the monotonic clock."""

    @property
    def machine(self) -> Machine | None:
        """The machine at the cloud; None until it is launched."""
        return self.cluster.machines.machine(self.name)

    async def start(self) -> None:
        """Launch it, and wait until it has its addresses; of a scheduler, until it listens."""
        self.began = time.monotonic()
        status = await self.create_vm()
        self.address = f"{self.cluster.protocol}://{status.private_ip}:{entrypoint.PORT}"
        if status.public_ip and self.cluster.spec.public_ip:
            self.external_address = f"{self.cluster.protocol}://{status.public_ip}:{entrypoint.PORT}"
        if self.role == "scheduler":
            self.cluster.scheduler_has_address()
            await self.wait_for_scheduler()
        self.status = Status.running

    async def create_vm(self) -> MachineStatus:
        request = self.cluster.launch_request(self.name, self.role)
        crashpoint.reached("launching")
        await self.cluster.machines.launch(request)
        crashpoint.reached("launched")

        async def status_with_addresses() -> MachineStatus | None:
            status = await self._machine_status()
            return status if status.private_ip and (status.public_ip or not self.cluster.spec.public_ip) else None

        return await self._poll(status_with_addresses, "had no address")

    async def wait_for_scheduler(self) -> None:
        """Wait until its port accepts connections. Where the console says that it listens, it is not waited for long."""
        host, port = (self.external_address or self.address).rpartition("/")[2].rsplit(":", 1)
        listens_since: float | None = None

        async def reached() -> bool | None:
            nonlocal listens_since
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), CONNECT_S)
            except (OSError, TimeoutError) as error:
                self.unreached = f"{host}:{port} ({_reason(error)})"
                await self._machine_status()
            else:
                writer.close()
                self.unreached = ""
                return True
            if listens_since is None:
                listens_since = time.monotonic() if entrypoint.LISTENING in self._console else None
            elif time.monotonic() - listens_since > self.cluster.limits.unreached_s:
                raise await self.failure(f"listens, but {self.unreached_text}", remedy=FIREWALL)
            return False

        try:
            await self._poll(reached, "did not listen")
        except InfrastructureError as error:
            if self.unreached and self.unreached not in error.message and "did not listen" in error.message:
                what = error.message.replace("did not listen", f"did not listen: {self.unreached_text}", 1)
                raise InfrastructureError(what, remedy=f"{error.remedy}; {FIREWALL}") from error
            raise

    @property
    def unreached_text(self) -> str:
        """Where the scheduler is not reached; empty when it is."""
        return f"it is not reached from here at {self.unreached}" if self.unreached else ""

    async def destroy_vm(self) -> None:
        """Terminate it. A failure is only logged: at the end all machines of the run are terminated."""
        try:
            await self.cluster.machines.terminate(self.name)
        except SwathError as error:
            log.warning("%s is left to the end of the run: %s", self.name, error.message)

    async def console(self) -> str:
        """The last lines of its console output; empty when there are none, or they cannot be read."""
        if self.machine is None:
            return ""
        with contextlib.suppress(SwathError):
            return await self.cluster.machines.call(self.cluster.machines.fleet.console, self.machine)
        return ""

    async def _machine_status(self) -> MachineStatus:
        """Its state. Raises InfrastructureError when it has ended. An API that does not answer is asked again later."""
        if self.machine is None:
            raise InfrastructureError(f"{self.name} was not launched")
        try:
            status = await self.cluster.machines.call(self.cluster.machines.provider.status, self.machine)
        except CredentialsError:
            raise
        except SwathError as error:
            log.info("%s: %s", self.name, error.message)
            return MachineStatus(state="")
        if status.ended:
            raise status.error or await self.failure(f"ended while it came up ({status.state})")
        return status

    async def _poll(self, condition: Callable[[], Coroutine[Any, Any, T | None]], what: str) -> T:
        """The value of `condition` when it is true. Raises InfrastructureError when the machine ends, or its time to boot is over."""
        poll_s, limit_s = self.cluster.limits.poll_s, self.cluster.spec.start_timeout_s
        if self.role == "worker":
            limit_s = min(limit_s, self.cluster.limits.boot_s)
        console_read = time.monotonic()
        while not (value := await condition()):
            now = time.monotonic()
            if now - self.began > limit_s:
                raise await self.failure(f"{what} after {limit_s:g} s")
            if now - console_read > 2 * poll_s:
                console_read = now
                self._console = await self.console()
                if cloud_init.CONTAINER_ENDED in self._console:
                    raise await self.failure("boots, but its container has ended")
            await asyncio.sleep(min(1.0, poll_s))
        return value

    async def failure(self, what: str, remedy: str = REMEDY) -> InfrastructureError:
        """The error of a machine. It has the end of the console output unless the machine was up: then that says nothing."""
        console = "" if self.registered else await self.console()
        where = f"{self.machine.id}, {self.machine.place}" if self.machine else self.cluster.machines.fleet.place
        return InfrastructureError(
            f"the {self.role} machine {self.name} ({where}) {what}" + (f"; its console:\n{console}" if console else ""),
            remedy="" if self.registered else remedy,
        )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return "connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
