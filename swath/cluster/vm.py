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

import dask.config
from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.deploy.spec import SpecCluster
from distributed.utils import NoOpAwaitable

from swath.cluster import boot, offer, onboard
from swath.cluster.elastic import Scaling, Unit
from swath.cluster.machine import Machine
from swath.cluster.maker import Look, Made, Maker, Order
from swath.cluster.member import Member
from swath.cluster.settings import SETTINGS
from swath.cluster.tls import RunSecurity
from swath.errors import CredentialsError, InfrastructureError, MissingExtra, SwathError
from swath.spec.cloud import CloudCluster

try:
    from dask_cloudprovider.generic.vmcluster import VMCluster
except ImportError as error:
    raise MissingExtra("dask-cloudprovider", "aws,gcp", "A cluster in a cloud") from error

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

ALONE = "SWATH_CLOUD_ALONE_S"
"""Environment variable with the seconds after which a scheduler without a client ends, for tests."""
PACE = "SWATH_CLOUD_PACE_S"
"""Environment variable with the seconds between two looks at the machines, for a cloud which is simulated."""
LOOK_EVERY_S = 5.0
SETTLE_S = 15.0
"""A machine that was just made may not be listed yet."""
SILENT_S = 30.0
"""A machine whose processes have all gone for so long is replaced."""
TRIES = 3
"""Failures in a row after which no machine can be had: the run ends when there is none."""
MOST_TRIES = 10
"""Failures in a row after which no machine is asked for any more: the run goes on with those that there are."""
LONGEST_PAUSE_S = 60.0
RETIRE_S = 60.0
"""What a machine has for handing over what is in its memory."""
CLOSE_S = 8.0
"""What each step of closing has."""
CALLS = 16
"""Calls of the cloud at the same time."""
__all__ = ["Look", "MachineScaling", "Made", "Maker", "Order", "VmCluster"]
T = TypeVar("T")
log = logging.getLogger(__name__)


class VmCluster(VMCluster):  # type: ignore[misc]
    """A scheduler machine and worker machines. Everything but `check` and `made` belongs to the event loop."""

    worker_spec: dict[str, Any]
    workers: dict[str, Member]
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
        maker: Maker,
        types: Mapping[str, str],
    ) -> None:
        """`types` has the machine type of each role."""
        # Not VMCluster's own: it sets TLS for the whole process, and writes into dictionaries that all clusters share.
        SpecCluster.__init__(self, asynchronous=True, loop=loop, security=security, name=label)
        self.spec, self.label, self.maker, self.fleet = spec, label, maker, maker.fleet
        self.types = types
        self.protocol = "tls"
        self.pace_s = float(os.environ.get(PACE) or LOOK_EVERY_S)
        self.scheduler_spec = {
            "cls": Member,
            "options": {"cluster": self, "name": f"{label}-scheduler", "role": "scheduler"},
        }
        self.new_spec = {"cls": Member, "options": {}}
        self.expires = time.time() + spec.max_hours * 3600
        self._records: dict[str, Made] = {}
        self._offers: tuple[Mapping[str, float], ...] = ()
        self._expected: dict[str, int] = {}
        self._unlisted: set[str] = set()
        self._failures, self._failed_at = 0, 0.0
        self._trouble: SwathError | None = None
        self._fault: SwathError | None = None
        self._living: set[Member] = set()
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
        self._do(self._keep())
        self.scale(self.spec.workers.min)

    async def have(self, n: int) -> None:
        """Wait until `n` machines have all their processes at the scheduler. Raises what keeps them from coming."""
        if len(self.worker_spec) < n:
            self.scale(n)
        while len(await self._complete()) < n:
            if self._fault is not None:
                raise self._fault
            if self._trouble is not None and self._failures >= TRIES:
                raise self._trouble
            await asyncio.sleep(min(0.2, self.pace_s))

    @property
    def client_address(self) -> str:
        """Where the client connects."""
        return str(self.scheduler.external_address or self.scheduler.address)

    @property
    def processes_each(self) -> int:
        """Worker processes of a machine, as far as that is known."""
        return max(self._expected.values(), default=self.spec.processes or 1)

    @property
    def made(self) -> list[Made]:
        """All machines so far."""
        return list(self._records.values())

    def told(self) -> str:
        """What went wrong last."""
        if self._trouble is not None:
            return self._trouble.message
        names = [name for name in list(self.workers) if not self._processes(name)]
        if self.status != Status.running:
            return "the scheduler's machine is not up"
        return f"no worker has come from {', '.join(names)}" if names else "machines are up"

    def check(self, resources: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, or when no machine can be had."""
        if self._fault is not None:
            raise self._fault
        if self._offers:
            try:
                offer.check(resources, self._offers)
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
        return {name for name in self.worker_spec if self._processes(name)}

    def scale(self, n: int = 0, memory: object = None, cores: object = None) -> Any:
        """Have `n` machines: those go first that have not come yet."""
        for name in sorted(self.worker_spec, key=lambda name: bool(self._processes(name)))[
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
    def unit(self) -> Unit:
        """What a machine is to the scaling: it comes slowly, and a minute of it is paid for in any case."""
        return Unit(processes=self.processes_each, worth_s=12 * self.pace_s, quiet_s=24 * self.pace_s)

    async def idle(self) -> list[str]:
        """Machines of which no process does anything."""
        processing = await self.scheduler_comm.processing(workers=None)
        known = self.scheduler_info["workers"]
        busy = {
            machine_of(known[address]["name"]) for address, calls in processing.items() if calls and address in known
        }
        return [name for name in self.worker_spec if self._processes(name) and name not in busy]

    def _new_worker_name(self, worker_number: object) -> str:
        return f"{self.label}-{secrets.token_hex(4)}"

    # --- machines come, are looked after, and go

    def order(self, name: str, role: str) -> Order:
        """What the cloud is asked for."""
        worker, left_s = role == "worker", max(1, int(self.expires - time.time()))
        spot = worker and self.spec.spot
        words: tuple[str, ...] = ("python", "-m", "swath.cluster.onboard", role)
        if worker:
            count = self.spec.processes
            words += (self.scheduler.address, "--name", name, *(("--processes", str(count)) if count else ()))
            words += ("--spot", self.fleet.kind) if spot else ()
        elif os.environ.get(ALONE):
            words += ("--alone-s", os.environ[ALONE])
        data = boot.user_data(
            boot.Boot(
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
                registry=boot.registry_of(self.spec.image),
            )
        )
        if len(data.encode()) > boot.MOST_BYTES:
            raise InfrastructureError(
                f"what {name} needs to boot is {len(data.encode())} bytes long; clouds take {boot.MOST_BYTES}",
                remedy="have fewer or shorter values in cluster.env",
            )
        return Order(name, role, self.types[role], spot, self.label, self.expires, data)

    async def ask_for(self, process: Member, order: Order) -> Machine:
        """Have a machine made. When nobody waits for it any more, it is ended as soon as it is there."""
        asked = asyncio.wrap_future(self._threads.submit(self._make, order))
        self._asked.add(asked)

        def answered(answer: asyncio.Future[Machine]) -> None:
            self._asked.discard(answer)
            if not answer.cancelled() and answer.exception() is None:
                process.machine = answer.result()
                self._living.add(process)
                self._records[order.name] = Made(order.name, order.type, order.role, order.spot, time.time())

        asked.add_done_callback(answered)
        return await asyncio.shield(asked)

    def _make(self, order: Order) -> Machine:
        """In a thread, which this process waits for: what comes of a request that was slow does not outlive a closed cluster."""
        machine = self.maker.make(order)
        if self.status in (Status.closing, Status.closed):
            self.fleet.end([machine])
        return machine

    def ended(self, process: Member) -> None:
        """Note that a machine was given back."""
        if process in self._living:
            self._living.remove(process)
            self._records[process.name] = dataclasses.replace(self._records[process.name], ended=time.time())

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """A call that blocks, in a thread."""
        return await asyncio.wrap_future(self._threads.submit(function, *arguments))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
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
            self._do(self._go(self.workers.pop(name)))
        if self.status != Status.running:
            return
        for name in set(self.worker_spec) - set(self.workers):
            process = Member(self, name, "worker")
            self.workers[name] = process
            self._do(self._come(process))

    async def _come(self, process: Member) -> None:
        if self._failures:
            await asyncio.sleep(min(LONGEST_PAUSE_S, self.pace_s / LOOK_EVERY_S * 2.0**self._failures))
        if process.name not in self.worker_spec:
            return
        try:
            await process
        except SwathError as error:
            self._replace(process, error)
            return
        if self.workers.get(process.name) is not process:  # let go while it was made
            await process.close()

    async def _go(self, process: Member) -> None:
        """Move what is in its memory elsewhere, then end it."""
        names = self._processes(process.name)
        if names and self.status == Status.running:
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(
                    self.scheduler_comm.retire_workers(names=names, close_workers=False, remove=True), RETIRE_S
                )
        await process.close()

    def _replace(self, process: Member, why: SwathError) -> None:
        """End a machine that did not come up or is lost, and have another one in its place."""
        log.warning("%s", why.message)
        self._trouble = why
        if not process.seen and process.began >= self._failed_at:  # machines that fail together are one failure
            self._failures, self._failed_at = self._failures + 1, time.monotonic()
        planned = self.worker_spec.pop(process.name, None) is not None
        self.workers.pop(process.name, None)
        self._do(process.close())
        if isinstance(why, CredentialsError) or (self._failures >= TRIES and not self.observed):
            self._fault = why
        elif planned and self._failures < MOST_TRIES and not self._watch_worker_status_task.done():
            self.worker_spec.update(self.new_worker_spec())
            self._correct_state()

    async def _keep(self) -> None:
        """Look after the machines, as long as the cluster is up."""
        while self.status == Status.running and self._fault is None:
            await asyncio.sleep(self.pace_s)
            try:
                listed = {machine.id for machine in await self.call(self.fleet.machines, self.label)}
            except SwathError as error:  # the API may not answer for a while
                log.info("machines are not listed: %s", error.message)
                continue
            if self._gone(self.scheduler, listed) or self._watch_worker_status_task.done():
                self._fault = InfrastructureError(
                    f"the scheduler, on {self.scheduler.name}, is lost", remedy="`pipe resume` takes the run up again"
                )
                return
            for process in list(self.workers.values()):
                await self._look_after(process, listed)

    async def _look_after(self, process: Member, listed: set[str]) -> None:
        if process.machine is None or process.status != Status.running:
            return
        now = time.monotonic()
        if self._processes(process.name):
            process.silent_since = None
        elif process.seen and process.silent_since is None:
            process.silent_since = now
        settle = self.pace_s / LOOK_EVERY_S
        if self._gone(process, listed):
            lost = "was taken back by the cloud" if process.seen else "has ended while it came up"
        elif process.silent_since is not None and now - process.silent_since > SILENT_S * settle:
            lost = "has no worker process any more"
        elif not process.seen and now - process.began > self.spec.start_timeout_s:
            lost = f"had no worker process after {self.spec.start_timeout_s:g} s"
        elif not process.seen and not self.maker.powers_off and boot.ENDED in await process.console():
            lost = "boots, but its container has ended"
        else:
            return
        self._replace(process, await process.trouble(lost))

    def _gone(self, process: Member, listed: set[str]) -> bool:
        """Whether it was not listed twice in a row, some time after it was made."""
        machine = process.machine
        if (
            machine is None
            or machine.id in listed
            or time.monotonic() - process.began < SETTLE_S * self.pace_s / LOOK_EVERY_S
        ):
            self._unlisted.discard(process.name)
            return False
        twice = process.name in self._unlisted
        self._unlisted.add(process.name)
        return twice

    # --- what the scheduler knows

    def _processes(self, machine: str) -> list[str]:
        """Names of a machine's processes that are at the scheduler."""
        names = [worker["name"] for worker in list(self.scheduler_info["workers"].values())]
        return [name for name in names if machine_of(name) == machine]

    async def _complete(self) -> list[str]:
        """Machines all of whose processes are at the scheduler."""
        if self.observed - set(self._expected):
            self._expected = await self.scheduler_comm.get_metadata(keys=[onboard.MACHINES], default={})
        return [name for name in self.observed if len(self._processes(name)) >= self._expected.get(name, 2**30)]

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # Not SpecCluster's: by the names of processes it would not find the machines.
        Cluster._update_worker_status(self, op, msg)
        if op != "add":
            return
        offers = [worker["resources"] for worker in self.scheduler_info["workers"].values() if worker.get("resources")]
        self._offers = tuple({json.dumps(each, sort_keys=True): each for each in (*self._offers, *offers)}.values())
        self._failures = 0
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


class MachineScaling(Scaling):
    """Dask's scaling where a worker is a machine with several processes."""

    async def workers_to_close(self, target: int) -> list[Any]:
        cluster: Any = self.cluster
        idle: list[str] = await cluster.idle()
        return idle[: max(0, len(cluster.observed) - target)]

    async def scale_down(self, workers: Any) -> None:
        cluster: Any = self.cluster
        await cluster.scale_down(workers)  # which retires them first


async def _within(work: Coroutine[Any, Any, Any], what: str) -> None:
    """A step of closing: in bounded time, and whatever goes wrong in it is only noted."""
    try:
        await asyncio.wait_for(work, CLOSE_S)
    except Exception as error:  # noqa: BLE001 - a library's close may fail in any way, and the next step is as important
        log.info("%s: %s: %s", what, type(error).__name__, error)


def machine_of(process: object) -> str:
    """The machine of a worker process, by its name."""
    return str(process).rpartition("-")[0]


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
