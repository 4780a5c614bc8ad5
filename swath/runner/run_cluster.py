"""The cluster of one run: it comes up when the first call needs it, and is closed whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from swath import crashpoint
from swath.cluster.contract import HasPaidMachines, ReleasesWorkers, RunContext, RunningCluster
from swath.cluster.cost.machine_use import MachineUse, machine_uses
from swath.cluster.cost.prices import cheapest_first
from swath.cluster.local.cores import cores
from swath.cluster.open import open_cluster
from swath.cluster.providers.bucket_region import in_region_of_bucket
from swath.cluster.steady_clock import steady_time
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.executors.growing import GrowingExecutor
from swath.engine.store import ResultStore
from swath.errors import SwathError, TeardownError
from swath.events import ClusterReady, Event
from swath.runner.cost_estimate import known_prices
from swath.runner.job import Job
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.cluster import AutoCluster, Cluster, InlineCluster


class RunCluster:
    """Opens the cluster that a job's spec names, once. What goes wrong when it is closed is noted, not raised."""

    def __init__(self, job: Job, context: RunContext, store: ResultStore, emit: Callable[[Event], None]) -> None:
        """store: that of results, which workers have to see as this process does."""
        self._job = job
        self._context = context
        self._store = store
        self._emit = emit
        self.workers = 0
        """Worker processes at the start; 0 until it is up."""
        self._running: RunningCluster | None = None
        self.leftovers = ""
        """What may be left of it in a cloud, and what to do; empty when its end is confirmed."""

    def open(self, exits: ExitStack, on_output: OutputListener) -> Executor:
        """Bring it up, to be closed by `exits`; once, then it gives another executor. Raises SwathError when it does not come up."""
        if self._running is not None:
            return self._running.executor(on_output, self._context.stop)
        spec = self._job.spec.cluster
        # A run that is resumed may have ended because of a call that ends its process: that shall be a worker's.
        if not isinstance(spec, AutoCluster) or self._job.earlier is not None:
            return self._started(spec, exits, on_output)
        return GrowingExecutor(
            lambda: self._started(InlineCluster(), exits, on_output),
            lambda: self._started(spec.local(), exits, on_output),
            spec.workers.max if spec.workers is not None else cores(),
            lambda error: self._context.say("warning", f"{error.message}; the calls go on in this process"),
        )

    def _started(self, spec: Cluster, exits: ExitStack, on_output: OutputListener) -> Executor:
        """Start a cluster, to be closed by `exits`."""
        crashpoint.reached("starting")
        began = time.monotonic()
        context = self._context
        if isinstance(spec, AwsCluster | GcpCluster):
            spec = in_region_of_bucket(spec, [self._job.results])
            spec = cheapest_first(spec, self._job.project.prices)
        try:
            cluster = open_cluster(spec, self._job.project.state, context).__enter__()
        except TeardownError as error:
            self._note(error)
            if isinstance(error.__context__, SwathError):  # why it did not come up is worth as much
                raise error.__context__ from None
            raise
        exits.callback(self._close, cluster)
        executor = cluster.executor(on_output, context.stop)
        cluster.check_store(self._store)
        self.workers = cluster.workers
        self._emit(
            ClusterReady(
                time=time.time(), run=context.run, cluster=cluster.kind, workers=cluster.workers,
                seconds=time.monotonic() - began, address=cluster.address,
            )
        )  # fmt: skip
        crashpoint.reached("started")
        if not (isinstance(spec, InlineCluster) and isinstance(self._job.spec.cluster, AutoCluster)):
            self._running = cluster
        exits.callback(crashpoint.reached, "closing")
        return executor

    def release_workers(self) -> None:
        """No call is left for the workers: those that cost money go, while the client does the rest, such as the publication."""
        if isinstance(self._running, ReleasesWorkers):
            self._running.release_workers()

    def machine_uses(self) -> list[MachineUse]:
        """The machines that it has had so far, and what they cost; empty where nothing is paid for."""
        if not isinstance(self._running, HasPaidMachines):
            return []
        return machine_uses(self._running.paid_machines, known_prices(self._job), steady_time())

    def _close(self, cluster: RunningCluster) -> None:
        try:
            cluster.__exit__(None, None, None)
        except TeardownError as error:
            self._note(error)

    def _note(self, error: TeardownError) -> None:
        self._context.say("error", str(error))
        self.leftovers = str(error)
