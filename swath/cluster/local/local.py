"""The cluster for `cluster: {kind: local}`: single-threaded worker processes on this machine, reachable through loopback only,
and only with the run's key."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dask
import distributed.utils
from distributed.worker_memory import parse_memory_limit

from swath.cluster.contract import RunningCluster
from swath.cluster.local import fork_server
from swath.cluster.local.cores import cores
from swath.cluster.local.repaired_cluster import LocalRepairLimits, RepairedLocalCluster
from swath.cluster.local.scratch import scratch
from swath.cluster.workers import resources, tls
from swath.cluster.workers.autoscaling import Autoscaler, ScalingLimits
from swath.cluster.workers.dask_settings import SETTINGS
from swath.cluster.workers.session import DaskSession, connect
from swath.cluster.workers.setup import workers_set_up
from swath.code_shipping import ProjectCode
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import LocalCluster
from swath.spec.clusters.workers import Workers

HOST = "127.0.0.1"
START_POLL_S = 0.02
START_FAILURES = 5
"""A worker that does not start is replaced; after so many the run ends."""
LOCAL_SETTINGS = SETTINGS | {
    "distributed.worker.multiprocessing-method": fork_server.METHOD,
    "distributed.nanny.pre-spawn-environ": fork_server.THREADS,
}
# Dask would preload pandas in its workers here; fork_server.py sets what they preload.
distributed.utils._forkserver_preload_set = True


class Local:
    """A `distributed.LocalCluster` on 127.0.0.1 without a dashboard."""

    kind = "local"

    def __init__(
        self,
        spec: LocalCluster,
        state: Path,
        scaling: ScalingLimits = ScalingLimits(),
        *,
        start_timeout_s: float = 60,
        repair: LocalRepairLimits = LocalRepairLimits(),
    ) -> None:
        """Not started. `state` is the state folder: workers have their scratch folders there."""
        self._allowed = spec.workers or Workers(min=cores(), max=cores())
        self.workers = self._allowed.min
        self.address = ""
        memory = int(spec.memory_gb * 1e9) if spec.memory_gb else "auto"
        self._memory = parse_memory_limit(memory, 1, self._allowed.max, logger=logging.getLogger(__name__))
        self._resources: dict[str, float] = {resources.CPU: 1, resources.MEMORY: self._memory or 0, **spec.resources}
        self._scaling = scaling
        self._start_timeout_s = start_timeout_s
        self._repair = repair
        self.autoscaler: Autoscaler | None = None
        self._scratch = state / "scratch"
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            folder = exits.enter_context(scratch(self._scratch))
            # The scheduler's folder is on the import path of this process: not in the folder for temporary files, which others write.
            settings = LOCAL_SETTINGS | {"temporary-directory": str(folder)}
            exits.enter_context(dask.config.set(settings))
            security = tls.run_security()
            try:
                with fork_server.signals_blocked():
                    cluster: Any = RepairedLocalCluster(
                        self._repair,
                        threads_per_worker=1,
                        processes=True,
                        host=HOST,
                        protocol="tls://",
                        security=security,
                        dashboard_address=f"{HOST}:0",
                        worker_dashboard_address=f"{HOST}:0",
                        scheduler_kwargs={"dashboard": False},
                        memory_limit=self._memory,
                        resources=self._resources,
                        env=fork_server.environment(),
                        local_directory=str(folder),
                        silence_logs=logging.CRITICAL,  # Dask logs an error for a heartbeat to a cluster that closes
                    )
                    exits.callback(cluster.close_in_time)
                    cluster.scale(self._allowed.min)
                    client: Any = exits.enter_context(connect(cluster, None, self._start_timeout_s))
                    self._wait_for_workers(cluster)
            except (OSError, TimeoutError, RuntimeError) as error:
                raise InfrastructureError(
                    f"the local cluster of {self._allowed.min} workers did not come up: {error}",
                    remedy="try cluster: inline, or fewer workers",
                ) from error
            code = ProjectCode.loaded()
            if code.modules:
                exits.enter_context(workers_set_up(client, code, end_with_run=True))
            if self._allowed.elastic:
                self.autoscaler = Autoscaler(cluster, self._allowed, self._scaling)
                exits.callback(self.autoscaler.stop)
            self.address = cluster.scheduler_address
            self.session = DaskSession(client, self.address)
            self._exits = exits.pop_all()
        return self

    def _wait_for_workers(self, cluster: RepairedLocalCluster) -> None:
        """Raises TimeoutError when they are not up in time, or one after the other does not start."""
        deadline = time.monotonic() + self._start_timeout_s
        while len(cluster.scheduler_info["workers"]) < self._allowed.min:
            if time.monotonic() > deadline or cluster.failures >= START_FAILURES:
                raise TimeoutError(cluster.last_error or f"not after {self._start_timeout_s:g} s")
            time.sleep(START_POLL_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        on_backlog = self.autoscaler.update if self.autoscaler is not None else None
        return self.session.executor(on_output, self.check, on_backlog)

    def check(self, requested: Mapping[str, float]) -> None:
        """Raise InfrastructureError when no worker can ever have these resources."""
        resources.check(requested, [self._resources])

    def check_store(self, store: ResultStore) -> None:
        """Workers use this machine's disk."""


_: type[RunningCluster] = Local
