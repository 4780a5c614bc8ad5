"""This machine as a cluster: one single-threaded worker process per core, reachable through loopback only."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import TracebackType
from typing import Self

import dask
import distributed

from swath.cluster.cluster import RunningCluster
from swath.engine.dask_executor import DaskExecutor
from swath.engine.executor import Executor
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.engine.work import Say
from swath.errors import InfrastructureError
from swath.spec.cluster import LocalCluster

START_TIMEOUT_S = 60
SETTINGS = {
    # A call that ends its worker is tried on two more, then it is set aside.
    "distributed.scheduler.allowed-failures": 2,
    # One call per thread at a time: a call that kills its worker takes no other with it.
    "distributed.scheduler.worker-saturation": 1.0,
    # A worker that nears its limit is restarted; nothing of worth is in its memory.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # A long call holds the interpreter: that is no reason to think that its worker is gone.
    "distributed.scheduler.worker-ttl": "30 minutes",
    "distributed.admin.tick.limit": "1 hour",
    "distributed.worker.profile.enabled": False,
    "distributed.comm.timeouts.connect": "60s",
}
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""One process per core does better than threads, so that each process must keep to one."""


class Local:
    """A `distributed.LocalCluster` on 127.0.0.1 without a dashboard."""

    kind = "local"

    def __init__(self, spec: LocalCluster, state: Path) -> None:
        self.workers = spec.workers or cores()
        self.address = ""
        self._memory = int(spec.memory_gb * 1e9) if spec.memory_gb else "auto"
        self._scratch = state / "scratch"
        self._exits = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            exits.enter_context(dask.config.set({**SETTINGS, "distributed.nanny.pre-spawn-environ": THREADS}))
            try:
                with _signals_held():
                    cluster = distributed.LocalCluster(
                        n_workers=self.workers,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                        worker_dashboard_address="127.0.0.1:0",
                        memory_limit=self._memory,
                        local_directory=str(self._scratch),
                        silence_logs=40,
                    )
                    exits.callback(cluster.close, timeout=30)
                    self._client = exits.enter_context(distributed.Client(cluster, timeout=START_TIMEOUT_S))
                    self._client.wait_for_workers(self.workers, timeout=START_TIMEOUT_S)
            except (OSError, TimeoutError, RuntimeError) as error:
                raise InfrastructureError(
                    f"the local cluster of {self.workers} workers did not come up: {error}",
                    remedy="try cluster: inline, or fewer workers",
                ) from error
            self.address = cluster.scheduler_address
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def executor(self, say: Say, stop: Stop) -> Executor:
        return DaskExecutor(self._client, say)

    def check_store(self, store: ResultStore) -> None:
        """Workers share this machine\'s disk."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Start processes that do not hear Ctrl-C: the terminal sends it to all of them, but only the client decides.

    A blocked signal stays blocked in every thread and process that is made meanwhile; this thread hears it afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    resource_tracker.ensure_running()  # starting it later, in a thread of its own, would unblock the signal there
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_: type[RunningCluster] = Local
