"""This machine as a cluster: single-threaded worker processes, reachable through loopback only, and only with the run's key."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dask
import distributed
import distributed.utils
from distributed.worker_memory import parse_memory_limit

from swath.cluster.contract import RunningCluster
from swath.cluster.local import fork_server
from swath.cluster.local.scratch import scratch
from swath.cluster.workers import resources as offered
from swath.cluster.workers import tls
from swath.cluster.workers.autoscaling import Autoscaler
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.setup import hosted
from swath.code_shipping import ProjectCode
from swath.engine.call import OutputListener
from swath.engine.executors.dask import DaskExecutor
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import LocalCluster
from swath.spec.clusters.workers import Workers

HOST = "127.0.0.1"
START_TIMEOUT_S = 60
OWN_SETTINGS = SETTINGS | {
    "distributed.worker.multiprocessing-method": fork_server.METHOD,
    "distributed.nanny.pre-spawn-environ": fork_server.THREADS,
}
# Dask would import pandas here, to have it in workers sooner; forking.py says what they have.
distributed.utils._forkserver_preload_set = True


class Local:
    """A `distributed.LocalCluster` on 127.0.0.1 without a dashboard."""

    kind = "local"

    def __init__(self, spec: LocalCluster, state: Path) -> None:
        self._limits = spec.workers or Workers(min=cores(), max=cores())
        self.workers = self._limits.min
        self.address = ""
        memory = int(spec.memory_gb * 1e9) if spec.memory_gb else "auto"
        self._memory = parse_memory_limit(memory, 1, self._limits.max, logger=logging.getLogger(__name__))
        self._offer: dict[str, float] = {offered.CPU: 1, offered.MEMORY: self._memory or 0, **spec.resources}
        self._elastic: Autoscaler | None = None
        self._scratch = state / "scratch"
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(dask.config.set(OWN_SETTINGS))
            folder = exits.enter_context(scratch(self._scratch))
            security = tls.for_this_run()
            try:
                with fork_server.signals_held():
                    cluster = distributed.LocalCluster(
                        n_workers=self._limits.min,
                        threads_per_worker=1,
                        processes=True,
                        host=HOST,
                        protocol="tls://",
                        security=security,
                        dashboard_address=f"{HOST}:0",
                        worker_dashboard_address=f"{HOST}:0",
                        scheduler_kwargs={"dashboard": False},
                        memory_limit=self._memory,
                        resources=self._offer,
                        env=fork_server.environment(),
                        local_directory=str(folder),
                        silence_logs=logging.CRITICAL,  # a heartbeat into a cluster that closes is an error to Dask
                    )
                    exits.callback(cluster.close, timeout=30)
                    client = exits.enter_context(distributed.Client(cluster, timeout=START_TIMEOUT_S))
                    client.wait_for_workers(self._limits.min, timeout=START_TIMEOUT_S)
            except (OSError, TimeoutError, RuntimeError) as error:
                raise InfrastructureError(
                    f"the local cluster of {self._limits.min} workers did not come up: {error}",
                    remedy="try cluster: inline, or fewer workers",
                ) from error
            code = ProjectCode.loaded()
            if code.modules:
                exits.enter_context(hosted(client, code))
            if self._limits.elastic:
                self._elastic = Autoscaler(cluster, self._limits)
                exits.callback(self._elastic.stop)
            self._client: Any = client
            self.address = cluster.scheduler_address
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        return DaskExecutor(self._client, on_output, check=self.check, on_backlog=self.tell_backlog)

    def check(self, resources: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can ever have these resources."""
        offered.check(resources, [self._offer])

    def tell_backlog(self, calls: int, seconds: float | None) -> None:
        """What is still to be done, as the engine sees it: the number of workers follows."""
        if self._elastic is not None:
            self._elastic.tell(calls, seconds)

    def check_store(self, store: ResultStore) -> None:
        """Workers share this machine\'s disk."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_: type[RunningCluster] = Local
