"""What a run sets up on each worker, also on those that join later, and takes away again: its project's code, what workers offer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distributed import WorkerPlugin

from swath.cluster.workers import allocator
from swath.cluster.workers.resources import CPU, MEMORY
from swath.code_shipping import ProjectCode, ShippedFinder
from swath.errors import InfrastructureError

if TYPE_CHECKING:
    from distributed import Client, Scheduler, Worker

PREFIX = "swath-guest-"
"""Of the plugin's name; after it comes the id of the client that set it up."""


@dataclass
class WorkerSetup(WorkerPlugin):
    """Runs on each worker when it registers, before its first call."""

    owner: str
    code: ProjectCode

    async def setup(self, worker: Worker) -> None:
        allocator.keep_pages()  # workers that somebody else started; a thread for calls comes with the first call
        ShippedFinder.here().serve(self.owner, self.code)
        missing = {
            name: amount for name, amount in offer_of(worker).items() if name not in worker.state.total_resources
        }
        if missing:
            await worker.set_resources(**missing)

    def teardown(self, worker: Worker) -> None:
        ShippedFinder.here().withdraw(self.owner)


def offer_of(worker: Worker) -> Mapping[str, float]:
    """What every worker offers, whoever started it."""
    from distributed.system import MEMORY_LIMIT

    return {CPU: worker.state.nthreads, MEMORY: worker.memory_manager.memory_limit or MEMORY_LIMIT}


@contextlib.contextmanager
def hosted(client: Client, code: ProjectCode) -> Iterator[None]:
    """Have `code` on the workers of `client` meanwhile. Raises InfrastructureError when they cannot take the run."""
    for left in client.run_on_scheduler(_left_behind):
        client.unregister_worker_plugin(left)
    name = PREFIX + client.id
    try:
        client.register_plugin(WorkerSetup(name, code), name=name)
    except ValueError as error:
        _leave(client, name)
        raise InfrastructureError(
            f"the workers cannot take the project's code: {error}",
            remedy="wait for the other run, or use workers of your own",
        ) from error
    try:
        yield
    finally:
        _leave(client, name)


def _leave(client: Client, name: str) -> None:
    if client.status == "running":
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # a lost scheduler has forgotten it
            client.unregister_worker_plugin(name)


def _left_behind(dask_scheduler: Scheduler) -> list[str]:
    """On the scheduler: plugins of runs whose client is gone."""
    here = {PREFIX + client for client in dask_scheduler.clients}
    return [name for name in dask_scheduler.worker_plugins if name.startswith(PREFIX) and name not in here]
