"""A scheduler that takes operations of a client from the run's client only, by the role in the peer's certificate.

A worker's key, on a machine that runs code of a project, cannot have other machines run code then. Workers still tell the scheduler
what they do; what they send is unpickled on the client.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from distributed import Scheduler

from swath.cluster.workers import tls

CLIENT_OPERATIONS = (
    "register-client",
    "broadcast",
    "proxy",
    "run_function",
    "feed",
    "scatter",
    "restart",
    "restart_workers",
    "terminate",
    "register_scheduler_plugin",
    "unregister_scheduler_plugin",
    "register_worker_plugin",
    "unregister_worker_plugin",
    "register_nanny_plugin",
    "unregister_nanny_plugin",
    "update_data",
    "dump_cluster_state_to_url",
)
"""Operations of Dask's scheduler that run code, move data or end processes on other machines."""


class RoleScheduler(Scheduler):
    """A scheduler whose connections have certificates of `tls.run_security`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for operation in CLIENT_OPERATIONS:
            self.handlers[operation] = _for_client(operation, self.handlers[operation])


def _for_client(operation: str, handler: Callable[..., Any]) -> Callable[..., Any]:
    takes_comm = next(iter(inspect.signature(handler).parameters), "") == "comm"

    async def checked(comm: Any, **message: Any) -> Any:
        role = tls.role_of(comm.extra_info.get("peercert"))
        if role != "client":
            raise PermissionError(f"{operation} is for the run's client; this peer is {role or 'unknown'}")
        result = handler(comm, **message) if takes_comm else handler(**message)
        return await result if inspect.isawaitable(result) else result

    return checked
