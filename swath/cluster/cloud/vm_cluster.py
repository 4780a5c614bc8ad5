"""A Dask cluster whose processes run on machines in a cloud: what is the same on all clouds.

dask-cloudprovider's VMCluster, with what it gets wrong put right: nothing waits for ever, a machine that cannot be made or is lost
is replaced, one that goes is retired first, closing tolerates everything, and nothing is set for the whole process. Dask's
SpecCluster counts machines here, its scheduler counts worker processes: a machine NAME has the processes NAME-0, NAME-1, ...
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.deploy.spec import SpecCluster
from distributed.utils import NoOpAwaitable

from swath.cluster.cloud.launch_requests import LaunchRequests
from swath.cluster.cloud.provider import CreatedMachine, LaunchRequest, MachineProvider
from swath.cluster.cloud.repair import LOOK_EVERY_S, ClusterRepair
from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.machine import entrypoint
from swath.cluster.providers.machine import Machine
from swath.cluster.workers import resources as offered
from swath.cluster.workers.autoscaling import ScalingUnit
from swath.cluster.workers.tls import RunSecurity
from swath.errors import InfrastructureError, MissingExtra, SwathError
from swath.spec.clusters.cloud import CloudCluster

try:
    from dask_cloudprovider.generic.vmcluster import VMCluster
except ImportError as error:
    raise MissingExtra("dask-cloudprovider", "aws,gcp", "A cluster in a cloud") from error

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

PACE = "SWATH_CLOUD_PACE_S"
"""Environment variable with the seconds between two looks at the machines, for a cloud which is simulated."""
RETIRE_S = 60.0
"""What a machine has for handing over what is in its memory."""
CLOSE_S = 8.0
"""What each step of closing has."""
CALLS = 16
"""Calls of the cloud at the same time."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class VmCluster(VMCluster):  # type: ignore[misc]
    """A scheduler machine and worker machines. Everything but `check` and `made` belongs to the event loop."""

    worker_spec: dict[str, Any]
    workers: dict[str, VmProcess]
    scheduler: Any
    scheduler_comm: Any
    scheduler_info: Any
    _watch_worker_status_task: asyncio.Task[None]
    status: Status

    def __init__(
        self,
        spec: CloudCluster,
        label: str,
        security: RunSecurity,
        loop: IOLoop,
        maker: MachineProvider,
        types: Mapping[str, str],
    ) -> None:
        """`types` has the machine type of each role."""
        # Not VMCluster's own: it sets TLS for the whole process, and writes into dictionaries that all clusters share.
        SpecCluster.__init__(self, asynchronous=True, loop=loop, security=security, name=label)
        self.spec, self.label, self.maker, self.fleet = spec, label, maker, maker.fleet
        self.protocol = "tls"
        self.pace_s = float(os.environ.get(PACE) or LOOK_EVERY_S)
        self.scheduler_spec = {
            "cls": VmProcess,
            "options": {"cluster": self, "name": f"{label}-scheduler", "role": "scheduler"},
        }
        self.new_spec = {"cls": VmProcess, "options": {}}
        self._orders = LaunchRequests(spec, label, maker, types, security, expires=time.time() + spec.max_hours * 3600)
        self._records: dict[str, CreatedMachine] = {}
        self._offers: tuple[Mapping[str, float], ...] = ()
        self._expected: dict[str, int] = {}
        self.upkeep = ClusterRepair(self)
        self._living: set[VmProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: set[asyncio.Future[Machine]] = set()
        self._threads = concurrent.futures.ThreadPoolExecutor(CALLS, thread_name_prefix="swath-cloud")

    # --- for cloud.py

    async def up(self) -> None:
        """Bring up the scheduler, and ask for the least number of workers."""
        try:
            await SpecCluster._start(self)
        except RuntimeError as error:
            if isinstance(error.__cause__, SwathError):
                raise error.__cause__ from None
            raise InfrastructureError(f"the scheduler in the cloud did not come up: {error}") from error
        self.do(self.upkeep.keep())
        self.scale(self.spec.workers.min)

    async def have(self, n: int) -> None:
        """Wait until `n` machines have all their processes at the scheduler. Raises what keeps them from coming."""
        if len(self.worker_spec) < n:
            self.scale(n)
        while len(await self._complete()) < n:
            if (why := self.upkeep.hopeless) is not None:
                raise why
            await asyncio.sleep(min(0.2, self.pace_s))

    def another(self) -> None:
        """Have one machine more."""
        self.worker_spec.update(self.new_worker_spec())
        self._correct_state()

    @property
    def cut_off(self) -> bool:
        """Whether the scheduler has left the line."""
        return self._watch_worker_status_task.done()

    @property
    def client_address(self) -> str:
        """Where the client connects."""
        return str(self.scheduler.external_address or self.scheduler.address)

    @property
    def processes_each(self) -> int:
        """Worker processes of a machine, as far as that is known."""
        return max(self._expected.values(), default=self.spec.processes or 1)

    @property
    def made(self) -> list[CreatedMachine]:
        """All machines so far."""
        return list(self._records.values())

    def told(self) -> str:
        """What went wrong last."""
        if self.upkeep.trouble is not None:
            return self.upkeep.trouble.message
        names = [name for name in list(self.workers) if not self.processes_of(name)]
        if self.status != Status.running:
            return "the scheduler's machine is not up"
        return f"no worker has come from {', '.join(names)}" if names else "machines are up"

    def check(self, resources: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, or when no machine can be had."""
        if self.upkeep.fault is not None:
            raise self.upkeep.fault
        if self._offers:
            try:
                offered.check(resources, self._offers)
            except InfrastructureError as error:
                raise InfrastructureError(error.message, remedy="set cluster.machine to one that has more") from error

    async def down(self) -> None:
        """Close in good order, in bounded time. Whatever is left is removed by its label afterwards."""
        await self._close()

    # --- for Dask's scaling: it counts machines

    @property
    def plan(self) -> set[str]:
        return set(self.worker_spec)

    @property
    def requested(self) -> set[str]:
        return set(self.worker_spec)

    @property
    def observed(self) -> set[str]:
        return {name for name in self.worker_spec if self.processes_of(name)}

    def scale(self, n: int = 0, memory: object = None, cores: object = None) -> Any:
        """Have `n` machines: those go first that have not come yet."""
        for name in sorted(self.worker_spec, key=lambda name: bool(self.processes_of(name)))[
            : max(0, len(self.worker_spec) - n)
        ]:
            del self.worker_spec[name]
        while len(self.worker_spec) < n and self.status == Status.running:
            self.worker_spec.update(self.new_worker_spec())
        self.loop.add_callback(self._correct_state)
        return NoOpAwaitable()

    async def scale_down(self, workers: Any) -> None:
        """Let these machines go."""
        for name in workers:
            self.worker_spec.pop(name, None)
        self._correct_state()

    @property
    def unit(self) -> ScalingUnit:
        """What a machine is to the scaling: it comes slowly, and a minute of it is paid for in any case."""
        return ScalingUnit(processes=self.processes_each, worth_s=12 * self.pace_s, quiet_s=24 * self.pace_s)

    async def idle(self) -> list[str]:
        """Machines of which no process does anything."""
        processing = await self.scheduler_comm.processing(workers=None)
        known = self.scheduler_info["workers"]
        busy = {
            machine_of(known[address]["name"]) for address, calls in processing.items() if calls and address in known
        }
        return [name for name in self.worker_spec if self.processes_of(name) and name not in busy]

    def _new_worker_name(self, worker_number: object) -> str:
        return f"{self.label}-{secrets.token_hex(4)}"

    # --- machines come, are looked after, and go

    def order(self, name: str, role: str) -> LaunchRequest:
        """What the cloud is asked for."""
        return self._orders.of(name, role, self.scheduler.address if role == "worker" else None)

    async def ask_for(self, process: VmProcess, order: LaunchRequest) -> Machine:
        """Have a machine made. When nobody waits for it any more, it is ended as soon as it is there."""
        asked = asyncio.wrap_future(self._threads.submit(self._make, order))
        self._asked.add(asked)

        def answered(answer: asyncio.Future[Machine]) -> None:
            self._asked.discard(answer)
            if not answer.cancelled() and answer.exception() is None:
                process.machine = answer.result()
                self._living.add(process)
                self._records[order.name] = CreatedMachine(order.name, order.type, order.role, order.spot, time.time())

        asked.add_done_callback(answered)
        return await asyncio.shield(asked)

    def _make(self, order: LaunchRequest) -> Machine:
        """In a thread, which this process waits for: what comes of a request that was slow does not outlive a closed cluster."""
        machine = self.maker.make(order)
        if self.status in (Status.closing, Status.closed):
            self.fleet.end([machine])
        return machine

    def ended(self, process: VmProcess) -> None:
        """Note that a machine was given back."""
        if process in self._living:
            self._living.remove(process)
            self._records[process.name] = dataclasses.replace(self._records[process.name], ended=time.time())

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """A call that blocks, in a thread."""
        return await asyncio.wrap_future(self._threads.submit(function, *arguments))

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done in the background, as long as the cluster is up."""

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("the machines are not looked after as they should be", exc_info=error)

        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(done)

    async def _correct_state_internal(self) -> None:
        """Have the machines that are planned. Unlike Dask's own it waits for none: one that is slow keeps no other waiting."""
        self._correct_state_waiting = None
        for name in set(self.workers) - set(self.worker_spec):
            self.do(self._go(self.workers.pop(name)))
        if self.status != Status.running:
            return
        for name in set(self.worker_spec) - set(self.workers):
            process = VmProcess(self, name, "worker")
            self.workers[name] = process
            self.do(self._come(process))

    async def _come(self, process: VmProcess) -> None:
        if pause_s := self.upkeep.pause_s:
            await asyncio.sleep(pause_s)
        if process.name not in self.worker_spec:
            return
        try:
            await process
        except SwathError as error:
            self.upkeep.replace(process, error)
            return
        if self.workers.get(process.name) is not process:  # let go while it was made
            await process.close()

    async def _go(self, process: VmProcess) -> None:
        """Move what is in its memory elsewhere, then end it."""
        names = self.processes_of(process.name)
        if names and self.status == Status.running:
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(
                    self.scheduler_comm.retire_workers(names=names, close_workers=False, remove=True), RETIRE_S
                )
        await process.close()

    # --- what the scheduler knows

    def processes_of(self, machine: str) -> list[str]:
        """Names of a machine's processes that are at the scheduler."""
        names = [worker["name"] for worker in list(self.scheduler_info["workers"].values())]
        return [name for name in names if machine_of(name) == machine]

    async def _complete(self) -> list[str]:
        """Machines all of whose processes are at the scheduler."""
        if self.observed - set(self._expected):
            self._expected = await self.scheduler_comm.get_metadata(keys=[entrypoint.MACHINES], default={})
        return [name for name in self.observed if len(self.processes_of(name)) >= self._expected.get(name, 2**30)]

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not SpecCluster's: by the names of processes it would not find the machines.
        Cluster._update_worker_status(self, op, msg)
        if op != "add":
            return
        offers = [worker["resources"] for worker in self.scheduler_info["workers"].values() if worker.get("resources")]
        self._offers = tuple({json.dumps(each, sort_keys=True): each for each in (*self._offers, *offers)}.values())
        self.upkeep.works()
        for name in self.observed:
            if name in self.workers:
                self.workers[name].seen = True

    # --- closing

    async def _close(self) -> None:
        if self.status in (Status.closing, Status.closed):
            return
        was, self.status = self.status, Status.closing
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        if was == Status.running:  # and with it its workers: what they still have in memory nobody waits for
            await _within(self.scheduler_comm.terminate(), "ending the scheduler")
        if self._asked:  # a create request cannot be called back: what comes of it is ended
            await asyncio.wait(set(self._asked), timeout=CLOSE_S)
        machines = list(self._living)
        await _within(self.call(self.fleet.end, [each.machine for each in machines]), "ending machines")
        for each in machines:
            self.ended(each)
            each.status = Status.closed
        self.worker_spec, self.workers = {}, {}
        await _within(Cluster._close(self), "closing connections")
        self.status = Status.closed
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _within(work: Coroutine[Any, Any, Any], what: str) -> None:
    """A step of closing: in bounded time, and whatever goes wrong in it is only noted."""
    try:
        await asyncio.wait_for(work, CLOSE_S)
    except Exception as error:  # noqa: BLE001 - a library's close may fail in any way, and the next step is as important
        log.info("%s: %s: %s", what, type(error).__name__, error)


def machine_of(process: object) -> str:
    """The machine of a worker process, by its name."""
    return str(process).rpartition("-")[0]
