"""A Dask cluster whose scheduler and workers run on machines in a cloud: the part that is the same on all clouds.

dask-cloudprovider's VMCluster with other behaviour where it matters: every wait has a timeout, a machine that cannot be launched or
is lost is replaced, a machine that goes is retired first, closing continues after errors, and nothing is set for the whole process.
Dask's SpecCluster counts machines here, its scheduler counts worker processes: a machine NAME has the processes NAME-0, NAME-1, ...
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.deploy.spec import SpecCluster
from distributed.objects import SchedulerInfo
from distributed.utils import NoOpAwaitable

from swath.cluster.cloud.console_files import ConsoleFiles
from swath.cluster.cloud.launch_requests import LaunchRequests
from swath.cluster.cloud.limits import RepairLimits
from swath.cluster.cloud.machine_pool import MachinePool, in_time
from swath.cluster.cloud.process_register import ProcessRegister, machine_of
from swath.cluster.cloud.repair import ClusterRepair
from swath.cluster.cloud.silence import SilentWorkers
from swath.cluster.cloud.vm_process import FIREWALL, VmProcess
from swath.cluster.machine import entrypoint
from swath.cluster.providers.contract import LaunchRequest, MachineProvider
from swath.cluster.steady_clock import steady_time
from swath.cluster.workers import resources
from swath.cluster.workers.tls import RunSecurity
from swath.errors import InfrastructureError, MissingExtra, SwathError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

try:
    from dask_cloudprovider.generic.vmcluster import VMCluster
except ImportError as error:
    raise MissingExtra("dask-cloudprovider", "aws,gcp", "A cluster in a cloud") from error

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

RETIRE_S = 60.0
"""Timeout for moving results from a machine's memory to others."""
log = logging.getLogger(__name__)


class VmCluster(VMCluster):  # type: ignore[misc]
    """A scheduler machine and worker machines. Everything but `check` and `problem` belongs to the event loop."""

    worker_spec: dict[str, Any]
    workers: dict[str, VmProcess]
    scheduler: Any
    scheduler_comm: Any
    _watch_worker_status_task: asyncio.Task[None]
    status: Status

    def __init__(
        self,
        spec: AwsCluster | GcpCluster,
        label: str,
        security: RunSecurity,
        loop: IOLoop,
        provider: MachineProvider,
        limits: RepairLimits | None = None,
        consoles: ConsoleFiles | None = None,
    ) -> None:
        """Not started. `label` is the run's. `limits` are by default those of the environment."""
        self._processes = ProcessRegister()
        # Not VMCluster's own __init__: it sets TLS for the whole process, and changes dictionaries that all clusters share.
        SpecCluster.__init__(self, asynchronous=True, loop=loop, security=security, name=label)
        self.spec, self.label = spec, label
        self.limits = limits or RepairLimits.from_environment()
        self.protocol = "tls"
        self.scheduler_spec = {
            "cls": VmProcess,
            "options": {"cluster": self, "name": f"{label}-scheduler", "role": "scheduler"},
        }
        self.new_spec = {"cls": VmProcess, "options": {}}
        self.machines = MachinePool(provider, consoles)
        self.repair = ClusterRepair(self)
        self._requests = LaunchRequests(spec, label, provider, security, expires=steady_time() + spec.max_hours * 3600)
        self._process_counts: dict[str, int] = {}
        """Machine -> how many processes it starts, as far as its machines have reported that to the scheduler."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._launches_workers = False
        """Whether worker machines may be launched: the scheduler's machine has its address."""
        self._silence = SilentWorkers(self.limits.unanswered_s, self.limits.answer_s)

    @property
    def scheduler_info(self) -> Any:
        """The scheduler's description of itself and its workers, which Dask's base class sets at each new connection."""
        return self._scheduler_info

    @scheduler_info.setter
    def scheduler_info(self, info: Any) -> None:
        self._scheduler_info = info
        if machines := self._processes.replace(info["workers"]):
            self._note_machines(machines)

    # --- starting

    async def start_scheduler(self) -> None:
        """Start the scheduler. The least number of worker machines is launched as soon as its machine has an address."""
        try:
            await SpecCluster._start(self)
        except RuntimeError as error:
            if isinstance(error.__cause__, SwathError):
                raise error.__cause__ from None
            raise InfrastructureError(f"the scheduler in the cloud did not come up: {error}") from error
        self.run_in_background(self.repair.watch())
        self.scale(self.spec.workers.min)

    async def wait_for_machines(self, n: int, quorum: int | None = None) -> int:
        """Wait until `n` machines have all their processes at the scheduler; of a `quorum`, when given, until the others fail or do
        not follow soon. Returns how many there are. Raises the error that keeps them from coming up."""
        if len(self.worker_spec) < n:
            self.scale(n)
        since: float | None = None
        while (complete := len(await self._complete_machines())) < n:
            error, enough = self.repair.reason, quorum is not None and complete >= quorum
            if enough:
                since = since or time.monotonic()
                if error is not None or time.monotonic() - since > self.limits.stragglers_s:
                    break
            elif error is not None:
                raise error
            await asyncio.sleep(min(0.2, self.limits.poll_s))
        return complete

    @property
    def client_address(self) -> str:
        """The scheduler's address for the client."""
        return str(self.scheduler.external_address or self.scheduler.address)

    def problem(self) -> str:
        """Why the cluster is not up, as far as it is known. From any thread."""
        if self.repair.last_error is not None:
            return self.repair.last_error.message
        if self.scheduler is not None and self.scheduler.unreached:
            return f"the scheduler runs on {self.scheduler.name}, but {self.scheduler.unreached_text}"
        names = [name for name in list(self.workers) if not self.processes_of(name)]
        if self.status != Status.running:
            return "the scheduler's machine is not up"
        return f"no worker has come from {', '.join(names)}" if names else "machines are up"

    async def diagnosis(self) -> tuple[str, str]:
        """Why the cluster is not up, with the end of the scheduler's console, and what to do."""
        text, unreached = self.problem(), self.status != Status.running and self.scheduler and self.scheduler.unreached
        if unreached and (console := await self.scheduler.console()):
            text += f"; its console:\n{console}"
        return text, FIREWALL if unreached else ""

    def check(self, requested: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, or no machine can be had. From any thread."""
        if self.repair.fatal is not None:
            raise self.repair.fatal
        if available := self._processes.resources:
            try:
                resources.check(requested, available)
            except InfrastructureError as error:
                raise InfrastructureError(error.message, remedy="set cluster.machine to one that has more") from error

    # --- for Dask's adaptive scaling, which counts machines here

    @property
    def plan(self) -> set[str]:
        return set(self.worker_spec)

    @property
    def requested(self) -> set[str]:
        return set(self.worker_spec)

    @property
    def observed(self) -> set[str]:
        return {name for name in self.worker_spec if self._processes.count(name)}

    @property
    def processes_per_machine(self) -> int:
        """Worker processes of a machine; what the spec says, or 1, until a machine has reported it."""
        return max(self._process_counts.values(), default=self.spec.processes or 1)

    def scale(self, n: int = 0, memory: object = None, cores: object = None) -> Any:
        """Plan `n` machines. Those that have not come up yet are removed first."""
        surplus = max(0, len(self.worker_spec) - n)
        for name in sorted(self.worker_spec, key=lambda name: bool(self._processes.count(name)))[:surplus]:
            del self.worker_spec[name]
        while len(self.worker_spec) < n and self._takes_workers:
            self.worker_spec.update(self.new_worker_spec())
        self.loop.add_callback(self._correct_state)
        return NoOpAwaitable()

    def scale_from_thread(self, n: int) -> None:
        """`scale` from another thread than the event loop's."""
        self.loop.add_callback(self.scale, n)

    async def scale_down(self, workers: Any) -> None:
        """Remove these machines from the plan."""
        for name in workers:
            self.worker_spec.pop(name, None)
        self._correct_state()

    async def idle_machines(self) -> list[str]:
        """Machines that are up and run no call."""
        processing = await self.scheduler_comm.processing(workers=None)
        known = self.scheduler_info["workers"]
        busy = {
            machine_of(known[address]["name"]) for address, calls in processing.items() if calls and address in known
        }
        return [name for name in self.worker_spec if self._processes.count(name) and name not in busy]

    def _new_worker_name(self, worker_number: object) -> str:
        return f"{self.label}-{secrets.token_hex(4)}"

    # --- for the processes and the repair

    @property
    def scheduler_lost(self) -> bool:
        return self.status == Status.running and self._watch_worker_status_task.done()

    @property
    def _takes_workers(self) -> bool:
        return self.status == Status.running or (self.status == Status.starting and self._launches_workers)

    def scheduler_has_address(self) -> None:
        self._launches_workers = True
        self.scale(self.spec.workers.min)

    async def silent_processes(self) -> list[str]:
        return await self._silence.find(self.scheduler_comm)

    async def _watch_worker_status(self, comm: Any) -> None:
        """Dask's, and again over a new connection when one is lost; it ends when the scheduler is not reached any more."""
        while True:
            await super()._watch_worker_status(comm)
            if self.status != Status.running:
                return
            log.warning("the connection to the scheduler was lost: trying again")
            found = await self._connected_again()
            if found is None:
                return
            comm = found

    async def _connected_again(self) -> Any:
        """A new connection that reports workers; None when there is none in time."""
        deadline = time.monotonic() + self.limits.reconnect_s
        while self.status == Status.running and time.monotonic() < deadline:
            try:
                return await asyncio.wait_for(self._subscribed(), self.limits.answer_s)
            except (OSError, TimeoutError) as error:
                log.info("the scheduler does not answer: %s", error)
                await asyncio.sleep(min(1.0, self.limits.poll_s))
        return None

    async def _subscribed(self) -> Any:
        comm = await self.scheduler_comm.live_comm()
        comm.name = "Cluster worker status"
        await comm.write({"op": "subscribe_worker_status"})
        self.scheduler_info = SchedulerInfo(await comm.read())
        self._watch_worker_status_comm = comm
        return comm

    def launch_request(self, name: str, role: str) -> LaunchRequest:
        return self._requests.request(name, role, self.scheduler.address if role == "worker" else None)

    def add_machine(self) -> None:
        self.worker_spec.update(self.new_worker_spec())
        self._correct_state()

    def processes_of(self, machine: str) -> list[str]:
        return self._processes.of(machine)

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a background task of the cluster has failed", exc_info=error)

        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(done)

    # --- machines come and go

    async def _correct_state_internal(self) -> None:
        """Start and close processes to follow the plan. Unlike SpecCluster's it waits for none: a slow machine delays no other."""
        self._correct_state_waiting = None
        for name in set(self.workers) - set(self.worker_spec):
            self.run_in_background(self._remove(self.workers.pop(name)))
        if not self._takes_workers:
            return
        for name in set(self.worker_spec) - set(self.workers):
            process = VmProcess(self, name, "worker")
            self.workers[name] = process
            self.run_in_background(self._start_process(process))

    async def _start_process(self, process: VmProcess) -> None:
        if pause_s := self.repair.pause_s:
            await asyncio.sleep(pause_s)
        if process.name not in self.worker_spec:
            return
        try:
            await process
        except SwathError as error:
            self.repair.replace(process, error)
            return
        if self.workers.get(process.name) is not process:  # removed from the plan meanwhile
            await process.close()

    async def _remove(self, process: VmProcess) -> None:
        """Move the results in its memory to other machines, then terminate it."""
        names = self.processes_of(process.name)
        if names and self.status == Status.running:
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(
                    self.scheduler_comm.retire_workers(names=names, close_workers=False, remove=True), RETIRE_S
                )
        await process.close()

    async def _complete_machines(self) -> list[str]:
        """Machines all of whose processes are at the scheduler."""
        if self.observed - set(self._process_counts):
            self._process_counts = await self.scheduler_comm.get_metadata(keys=[entrypoint.MACHINES], default={})
        counts = self._process_counts
        return [name for name in self.observed if self._processes.count(name) >= counts.get(name, 2**30)]

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not SpecCluster's: it would look for machines by the names of their processes.
        if op == "remove":
            self._processes.remove(msg)
        elif op == "add":
            self._note_machines(self._processes.add(msg["workers"]))
        Cluster._update_worker_status(self, op, msg)

    def _note_machines(self, machines: set[str]) -> None:
        """Note that processes of these machines are at the scheduler."""
        if machines:
            self.repair.reset_failures()
        for name in machines & self.workers.keys():
            self.workers[name].registered = True

    # --- closing

    async def shut_down(self) -> None:
        """Close in good order, in bounded time. What is left is terminated by its label afterwards."""
        await self._close()

    async def _close(self) -> None:
        if self.status in (Status.closing, Status.closed):
            return
        before, self.status = self.status, Status.closing
        self.machines.closing = True
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        if before == Status.running:  # its workers end with it: the results in their memory are not needed any more
            await in_time(self.scheduler_comm.terminate(), "ending the scheduler")
        await self.machines.close()
        for process in (*self.workers.values(), *((self.scheduler,) if self.scheduler else ())):
            process.status = Status.closed
        self.worker_spec, self.workers = {}, {}
        await in_time(Cluster._close(self), "closing connections")
        self.status = Status.closed
        self.machines.shut_down()
