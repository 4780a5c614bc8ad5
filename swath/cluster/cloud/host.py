"""What the processes of a cluster of machines, and its repair, use of the cluster."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from distributed.core import Status

from swath.cluster.cloud.limits import RepairLimits
from swath.cluster.cloud.machine_pool import MachinePool
from swath.cluster.providers.contract import LaunchRequest
from swath.spec.clusters.cloud import CloudCluster


class ClusterHost(Protocol):
    """A cluster of machines. All of it belongs to the cluster's event loop."""

    spec: CloudCluster
    label: str
    """Label of the run."""
    protocol: str
    """Of addresses, such as `tls`."""
    limits: RepairLimits
    machines: MachinePool
    status: Status
    worker_spec: dict[str, Any]
    """Planned worker machines, by name."""

    @property
    def observed(self) -> set[str]:
        """Names of worker machines of which a process is at the scheduler."""
        ...

    @property
    def scheduler_lost(self) -> bool:
        """Whether the connection to the scheduler has ended."""
        ...

    def launch_request(self, name: str, role: str) -> LaunchRequest:
        """The request for a machine."""
        ...

    def scheduler_has_address(self) -> None:
        """The scheduler's machine has its address: worker machines can be launched, although the scheduler does not listen yet."""
        ...

    async def silent_processes(self) -> list[str]:
        """Names of worker processes that do not answer. Raises OSError and TimeoutError when the scheduler does not answer."""
        ...

    def add_machine(self) -> None:
        """Plan one more worker machine."""
        ...

    def processes_of(self, machine: str) -> list[str]:
        """Names of a machine's worker processes that are at the scheduler."""
        ...

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it as long as the cluster is up."""
        ...
