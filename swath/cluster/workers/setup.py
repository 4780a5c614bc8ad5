"""A Dask plugin that prepares each worker for a run, also those that join later: the project's code, variables that are secrets, and
the worker's resources."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distributed import WorkerPlugin

from swath.cluster.workers import allocator
from swath.cluster.workers.resources import CPU, MEMORY
from swath.cluster.workers.run_client import answer
from swath.code_shipping import ProjectCode, ShippedFinder
from swath.errors import InfrastructureError

if TYPE_CHECKING:
    from distributed import Client, Scheduler, Worker

UNREGISTER_S = 10.0
"""For taking the plugin from workers that stay. What is left is removed by the next run."""
PREFIX = "swath-setup-"
"""Of the plugin's name; the id of the client that registered it follows."""


@dataclass
class WorkerSetup(WorkerPlugin):
    """Runs on each worker when it registers at the scheduler, before its first call."""

    owner: str
    code: ProjectCode
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def setup(self, worker: Worker) -> None:
        allocator.keep_pages()  # for workers that swath did not start; the thread for calls starts with the first call
        os.environ.update(self.env)
        ShippedFinder.here().add(self.owner, self.code)
        missing = {
            name: amount
            for name, amount in default_resources(worker).items()
            if name not in worker.state.total_resources
        }
        if missing:
            await worker.set_resources(**missing)

    def teardown(self, worker: Worker) -> None:
        ShippedFinder.here().remove(self.owner)


def default_resources(worker: Worker) -> Mapping[str, float]:
    """Resources of every worker, whoever started it: threads, and bytes of memory."""
    from distributed.system import MEMORY_LIMIT

    return {CPU: worker.state.nthreads, MEMORY: worker.memory_manager.memory_limit or MEMORY_LIMIT}


@contextlib.contextmanager
def workers_set_up(
    client: Client, code: ProjectCode, env: Mapping[str, str] = {}, *, end_with_run: bool = False
) -> Iterator[None]:
    """Register the plugin during the body. `end_with_run`: the workers end with the run, so that the plugin may stay; a stopped one
    would not answer. `env`: variables to set, for workers that end with the run.

    Raises InfrastructureError when workers cannot import the project's code because another run's code has the same module names,
    and TimeoutError when they do not answer.
    """
    if not end_with_run:
        for plugin in answer(client, client._run_on_scheduler, _orphaned_plugins):
            answer(client, client._unregister_worker_plugin, plugin)
    name = PREFIX + client.id
    try:
        answer(client, client._register_worker_plugin, WorkerSetup(name, code, env), name, idempotent=False)
    except ValueError as error:
        _unregister(client, name)
        raise InfrastructureError(
            f"the workers cannot take the project's code: {error}",
            remedy="wait for the other run, or use workers of your own",
        ) from error
    try:
        yield
    finally:
        if not end_with_run:
            _unregister(client, name)


def _unregister(client: Client, name: str) -> None:
    if client.status == "running":
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # a lost scheduler has no plugins
            answer(client, client._unregister_worker_plugin, name, timeout_s=UNREGISTER_S)


def _orphaned_plugins(dask_scheduler: Scheduler) -> list[str]:
    """On the scheduler: plugins of clients that are gone."""
    connected = {PREFIX + client for client in dask_scheduler.clients}
    return [name for name in dask_scheduler.worker_plugins if name.startswith(PREFIX) and name not in connected]
