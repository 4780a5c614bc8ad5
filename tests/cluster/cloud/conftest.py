"""Clusters of machines in simulated clouds, each with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any

import dask
from distributed import Client
from distributed.utils import LoopRunner

from swath.cluster.cloud.cloud import provider_of
from swath.cluster.cloud.console_files import ConsoleFiles
from swath.cluster.cloud.limits import RepairLimits
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.workers import tls
from swath.cluster.workers.dask_settings import SETTINGS
from swath.spec.clusters.cloud import AwsCluster, GcpCluster

WAIT_S = 90.0
LIMITS = RepairLimits(poll_s=0.2, unlisted_s=0.6, silent_s=1.2, pause_s=0.04)
"""A simulated cloud lists a machine at once, and boots it in seconds."""


class ClusterOnLoop:
    """A cluster, not started yet, with its event loop in another thread."""

    def __init__(
        self,
        spec: AwsCluster | GcpCluster,
        label: str,
        loop: Any,
        limits: RepairLimits = LIMITS,
        consoles: ConsoleFiles | None = None,
    ) -> None:
        self.security = tls.run_security()
        self.cluster = VmCluster(spec, label, self.security, loop, provider_of(spec), limits, consoles)
        self._loop = loop

    def begin(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop: its future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop.asyncio_loop)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine on the loop."""
        return self.begin(work).result(WAIT_S)

    def client(self) -> Client:
        return Client(self.cluster.client_address, security=self.security, set_as_default=False)


@contextlib.contextmanager
def running(
    spec: AwsCluster | GcpCluster,
    label: str = "r-1",
    limits: RepairLimits = LIMITS,
    consoles: ConsoleFiles | None = None,
) -> Iterator[ClusterOnLoop]:
    """A cluster of a spec, closed afterwards."""
    runner = LoopRunner(asynchronous=False)
    runner.start()
    try:
        with dask.config.set(SETTINGS):
            run = ClusterOnLoop(spec, label, runner.loop, limits, consoles)
            try:
                yield run
            finally:
                run.run(run.cluster.shut_down())
    finally:
        runner.stop()
