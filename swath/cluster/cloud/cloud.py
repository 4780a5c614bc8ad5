"""The cluster for `cluster: {kind: aws}` and `{kind: gcp}`: machines in a cloud, launched for one run.

The order of steps is what leaves no machine behind: the lease is in the journal and the guardian runs before a machine is launched,
and the run ends only when the cloud has listed none of its machines for some time (teardown/leased.py).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import dask
from distributed.utils import LoopRunner

from swath import crashpoint
from swath.cluster.cloud.console_files import ConsoleFiles
from swath.cluster.cloud.machine_pool import MachinePool
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.contract import HasPaidMachines, ReleasesWorkers, RunContext, RunningCluster
from swath.cluster.cost.budget import PaidMachine, budget_enforced
from swath.cluster.cost.machine_use import where
from swath.cluster.cost.prices import region_of
from swath.cluster.providers.contract import MachineProvider
from swath.cluster.providers.placement import NoCapacity
from swath.cluster.teardown.lease import CloudLease
from swath.cluster.teardown.leased import leased
from swath.cluster.workers import tls
from swath.cluster.workers.autoscaling import Autoscaler, MachineScaling
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.secret_env import without_secrets
from swath.cluster.workers.session import connect, quiet_dask, scheduler_errors, session
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

POLL_S = 0.2
"""While waiting: between two checks whether the run was asked to stop."""
CONNECT_S = 60.0
DIAGNOSIS_S = 10.0
"""For reading a console when the cluster is not up in time."""
CLOSE_S = 60.0
"""Timeout for closing the cluster in good order. Its machines are terminated in any case."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class CloudMachines:
    """Machines on AWS or Google Cloud."""

    def __init__(self, spec: AwsCluster | GcpCluster, context: RunContext) -> None:
        self.kind: str = spec.kind
        self.address = ""
        self.workers = 0
        self._released = False
        """Whether the worker machines were terminated because no call was left for them."""
        self._spec, self._secret_env = without_secrets(spec, context.secrets)
        self._context = context
        self._pools: list[MachinePool] = []
        """Of each region in which it was launched."""
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        places: list[AwsCluster | GcpCluster] = [*self._spec.in_regions()]
        tried: list[NoCapacity] = []
        for spec, following in itertools.pairwise(places):
            try:
                return self._launch(spec)
            except NoCapacity as error:  # its machines are gone for certain, else that were a TeardownError
                tried.append(error)
                self._warn(
                    f"{error.message}; the cluster is launched in {region_of(following)}, and traffic with buckets elsewhere is paid"
                )
                crashpoint.reached("moving")
        try:
            return self._launch(places[-1])
        except NoCapacity as error:
            if not tried:
                raise
            messages = "; ".join(each.message for each in (*tried, error))
            raise NoCapacity(f"no region has room: {messages}", remedy=error.remedy) from error

    def _launch(self, spec: AwsCluster | GcpCluster) -> Self:
        """Bring it up in one region. With a lease and a guardian of its own: what is left there is known whatever happens."""
        self._spec, self.address = spec, ""
        lease = CloudLease.new(
            self._context.run, spec.kind, spec.region if isinstance(spec, AwsCluster) else spec.project
        )
        with contextlib.ExitStack() as exits:
            exits.enter_context(dask.config.set(SETTINGS))
            exits.enter_context(leased(lease, self._context))
            loop = exits.enter_context(_event_loop())
            deadline = time.monotonic() + self._spec.start_timeout_s
            security = tls.run_security()
            consoles = ConsoleFiles(self._context.consoles, self._context.secrets)
            provider = provider_of(self._spec)
            cluster = VmCluster(self._spec, lease.label, security, loop.loop, provider, consoles=consoles)
            exits.callback(self._close, cluster, loop)
            self._pools.append(cluster.machines)
            exits.enter_context(
                budget_enforced(self._context.budget, lambda: self.paid_machines, self._context.stop.request)
            )
            self._wait(cluster.start_scheduler(), loop, deadline, cluster)
            exits.enter_context(quiet_dask())
            self.address = cluster.client_address
            with scheduler_errors(self.address):
                client = connect(self.address, security, CONNECT_S)
            exits.enter_context(client)
            self._wait_for_workers(cluster, loop, deadline)
            self._context.say("info", f"machines: {where(cluster.machines.created)}")
            self.session = exits.enter_context(
                session(client, self.address, self._warn, end_with_run=True, env=self._secret_env)
            )
            self._cluster = cluster
            self.autoscaler = self._autoscaler()
            exits.callback(lambda: self.autoscaler.stop())
            self.workers = self.session.workers
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return self.session.executor(on_output, self.check, lambda *backlog: self.autoscaler.update(*backlog))

    def check(self, requested: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, when one has joined that does not fit, and when
        no machine can be had."""
        if self._released:
            self._released = False
            self.autoscaler = self._autoscaler()
            self._cluster.scale_from_thread(self._spec.workers.min)
        self.session.check_late_joiners()
        self._cluster.check(requested)

    @property
    def paid_machines(self) -> Sequence[PaidMachine]:
        return [machine for pool in self._pools for machine in pool.created]

    def release_workers(self) -> None:
        """Begin to terminate the worker machines; the scheduler stays. They come back when another call is submitted, as after a
        damaged result."""
        self._released = True
        self.autoscaler.stop()
        self._cluster.scale_from_thread(0)
        log.info("no call is left for the worker machines: they are terminated while the client does the rest")

    def _autoscaler(self) -> Autoscaler:
        cluster = self._cluster
        return Autoscaler(
            cluster,
            self._spec.workers,
            cluster.limits.scaling,
            scaling=MachineScaling,
            processes_per_worker=lambda: cluster.processes_per_machine,
        )

    def check_store(self, store: ResultStore) -> None:
        self.session.check_store(store)

    def _wait_for_workers(self, cluster: VmCluster, loop: LoopRunner, deadline: float) -> None:
        """Of a fixed number of machines, one is enough to start: the others are asked for while the run goes on."""
        workers = self._spec.workers
        quorum = workers.min if workers.elastic else 1
        up = self._wait(cluster.wait_for_machines(workers.min, quorum), loop, deadline, cluster)
        if up < workers.min:
            self._warn(
                f"{up} of {workers.min} machines are up: the run starts with them and goes on asking for the others"
                f" ({cluster.problem()})"
            )

    def _warn(self, message: str) -> None:
        self._context.say("warning", message)

    def _wait(self, coroutine: Coroutine[Any, Any, T], loop: LoopRunner, deadline: float, cluster: VmCluster) -> T:
        """The result of a coroutine on the cluster's loop. Raises its error, the reason for which the run was asked to stop, and
        InfrastructureError with what is known of the machines when the time is over."""
        future = asyncio.run_coroutine_threadsafe(coroutine, loop.loop.asyncio_loop)
        try:
            while True:
                if self._context.stop.requested:
                    raise self._context.stop.requested
                if concurrent.futures.wait([future], POLL_S).done:
                    with scheduler_errors(self.address or "?"):
                        return future.result()
                if time.monotonic() > deadline:
                    problem, remedy = self._diagnosis(cluster, loop)
                    kind = NoCapacity if isinstance(cluster.repair.last_error, NoCapacity) else InfrastructureError
                    raise kind(
                        f"the {self.kind} cluster was not up after {self._spec.start_timeout_s:g} s: {problem}",
                        remedy=remedy
                        or "`pipe doctor` checks image, network and quota; cluster.start_timeout_s gives it more time",
                    )
        finally:
            future.cancel()

    def _diagnosis(self, cluster: VmCluster, loop: LoopRunner) -> tuple[str, str]:
        """Why the cluster is not up, and what to do where that is known."""
        future = asyncio.run_coroutine_threadsafe(cluster.diagnosis(), loop.loop.asyncio_loop)
        try:
            return future.result(DIAGNOSIS_S)
        except concurrent.futures.TimeoutError:
            return cluster.problem(), ""

    def _close(self, cluster: VmCluster, loop: LoopRunner) -> None:
        """Close in good order, when that is possible. What is left is terminated by its label."""
        future = asyncio.run_coroutine_threadsafe(cluster.shut_down(), loop.loop.asyncio_loop)
        try:
            future.result(CLOSE_S)
        except Exception as error:  # noqa: BLE001 - a library's close may fail in any way
            log.warning("the cluster did not close in good order: %s: %s", type(error).__name__, error)
            future.cancel()


def provider_of(spec: AwsCluster | GcpCluster) -> MachineProvider:
    """What launches the machines of a cluster. Raises CredentialsError and InfrastructureError when something that it needs is
    missing, before any machine is launched."""
    if isinstance(spec, AwsCluster):
        from swath.cluster.providers.aws.launch import Ec2Provider

        return Ec2Provider(spec)
    from swath.cluster.providers.gcp.launch import GceProvider

    return GceProvider(spec)


@contextlib.contextmanager
def _event_loop() -> Iterator[LoopRunner]:
    """An event loop in a thread of its own."""
    runner = LoopRunner(asynchronous=False)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


_: type[RunningCluster] = CloudMachines
_releases: type[ReleasesWorkers] = CloudMachines
_paid: type[HasPaidMachines] = CloudMachines
