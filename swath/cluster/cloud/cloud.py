"""A Dask cluster of machines in a cloud, made for one run: leased and guarded before the first machine, gone after the last.

What is different between the clouds is in aws.py and gcp.py; what every machine has, in vm.py and boot.py. Here is the order
in which it happens, which is why nothing is left: the lease is in the journal and the guardian at its pipe before a machine is
asked for, and the run ends only when the cloud has listed none of its machines, twice.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import dask
import distributed
from distributed.utils import LoopRunner

from swath import crashpoint
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.contract import RunContext, RunningCluster
from swath.cluster.cost.budget import held
from swath.cluster.local.address import answering, quiet_client, seen_by_workers
from swath.cluster.teardown.guardian import guarded
from swath.cluster.teardown.lease import CloudLease, leases_of
from swath.cluster.teardown.removal import remove_all
from swath.cluster.workers import tls, versions
from swath.cluster.workers.autoscaling import Autoscaler, MachineScaling
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.late_joiners import LateJoiners
from swath.cluster.workers.setup import hosted
from swath.code_shipping import ProjectCode
from swath.engine.call import OutputListener
from swath.engine.executors.dask import DaskExecutor
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError, StateError
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

LOOK_EVERY_S = 0.2
"""While something is waited for: how often it is looked whether the run was asked to stop."""
CLOSE_S = 60.0
"""What the cluster has for closing in good order; its machines are removed in any case."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class Cloud:
    """Machines on AWS or Google Cloud."""

    def __init__(self, spec: AwsCluster | GcpCluster, tenant: RunContext) -> None:
        self.kind: str = spec.kind
        self.address = ""
        self.workers = 0
        self._spec = spec
        self._tenant = tenant
        place = spec.region if isinstance(spec, AwsCluster) else spec.project
        self._lease = CloudLease.new(tenant.run, spec.kind, place)
        self._elastic: Autoscaler | None = None
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(dask.config.set(SETTINGS))
            fleet = self._lease.fleet
            fleet.machines(self._lease.label)  # no credentials, no network: told before anything is begun
            for earlier in leases_of(self._tenant.journal, self._tenant.run):
                self._remove(earlier)  # what the run had before it was killed and taken up again
            self._lease.write(self._tenant.journal)
            guardian = exits.enter_context(guarded(self._lease, self._tenant.journal.folder))
            crashpoint.reached("leased")
            exits.callback(self._gone, guardian.release)
            loop = exits.enter_context(_loop())
            deadline = time.monotonic() + self._spec.start_timeout_s
            security = tls.for_this_run()
            cluster = self._cluster(security, loop)
            exits.callback(self._close, cluster, loop)
            exits.enter_context(held(self._tenant.budget, lambda: cluster.made, self._tenant.stop.request))
            self._wait(cluster.up(), loop, deadline, cluster)
            exits.enter_context(quiet_client())
            with answering(cluster.client_address):
                client = distributed.Client(
                    cluster.client_address, security=security, timeout=CLOSE_S, set_as_default=False
                )
            self._client: Any = exits.enter_context(client)
            self._wait(cluster.have(self._spec.workers.min), loop, deadline, cluster)
            with answering(cluster.client_address):
                versions.check(self._client, cluster.client_address)
                if remark := versions.remark(self._client):
                    self._tenant.say("warning", remark)
                exits.enter_context(hosted(self._client, ProjectCode.loaded()))
                self._newcomers = exits.enter_context(
                    LateJoiners(self._client, lambda: versions.check(self._client, self.address))
                )
            self._elastic = Autoscaler(cluster, self._spec.workers, MachineScaling)
            exits.callback(self._elastic.stop)
            self._machines = cluster
            self.address = cluster.client_address
            self.workers = len(self._client.scheduler_info(n_workers=-1)["workers"])
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return DaskExecutor(self._client, on_output, check=self.check, on_backlog=self.tell_backlog)

    def check(self, resources: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can have these resources, when one has joined that does not fit, and when
        the machines that should be there cannot be had."""
        self._newcomers.check()
        self._machines.check(resources)

    def tell_backlog(self, calls: int, seconds: float | None) -> None:
        """What is still to be done, as the engine sees it: the number of machines follows."""
        if self._elastic is not None:
            self._elastic.tell(calls, seconds)

    def check_store(self, store: ResultStore) -> None:
        seen_by_workers(self._client, store)

    # --- coming up and going down

    def _cluster(self, security: tls.RunSecurity, loop: LoopRunner) -> VmCluster:
        spec, label = self._spec, self._lease.label
        if isinstance(spec, AwsCluster):
            from swath.cluster.cloud.aws import ec2_cluster

            return ec2_cluster(spec, label, security, loop.loop)
        from swath.cluster.cloud.gcp import gce_cluster

        return gce_cluster(spec, label, security, loop.loop)

    def _wait(self, coming: Coroutine[Any, Any, T], loop: LoopRunner, deadline: float, cluster: VmCluster) -> T:
        """What `coming` gives. Raises what it raises, what the run was asked to stop by, and InfrastructureError with what the
        machines said last when the time is over."""
        future = asyncio.run_coroutine_threadsafe(coming, loop.loop.asyncio_loop)
        try:
            while True:
                if self._tenant.stop.requested:
                    raise self._tenant.stop.requested
                try:
                    return future.result(LOOK_EVERY_S)
                except concurrent.futures.TimeoutError:
                    if future.done():
                        raise
                if time.monotonic() > deadline:
                    raise InfrastructureError(
                        f"the {self.kind} cluster was not up after {self._spec.start_timeout_s:g} s: {cluster.told()}",
                        remedy="`pipe doctor` checks image, network and quota; cluster.start_timeout_s gives it more time",
                    )
        finally:
            future.cancel()

    def _close(self, cluster: VmCluster, loop: LoopRunner) -> None:
        """In good order, when it can be; whatever is left then is removed by the fleet."""
        future = asyncio.run_coroutine_threadsafe(cluster.down(), loop.loop.asyncio_loop)
        try:
            future.result(CLOSE_S)
        except Exception as error:  # noqa: BLE001 - a library's close may fail in any way, and is never the last word
            log.warning("the cluster did not close in good order: %s: %s", type(error).__name__, error)
            future.cancel()

    def _gone(self, release: Callable[[], None]) -> None:
        """See that nothing is left. Raises TeardownError."""
        self._remove(self._lease)
        release()

    def _remove(self, lease: CloudLease) -> None:
        remove_all(lease.fleet, lease.label, say=lambda text: self._tenant.say("warning", text))
        with contextlib.suppress(StateError):  # the next `pipe sweep` looks once more
            lease.end(self._tenant.journal)


@contextlib.contextmanager
def _loop() -> Iterator[LoopRunner]:
    """An event loop in a thread of its own."""
    runner = LoopRunner(asynchronous=False)
    runner.start()
    try:
        yield runner
    finally:
        runner.stop()


_: type[RunningCluster] = Cloud
