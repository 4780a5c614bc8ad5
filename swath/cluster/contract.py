"""Where calls execute: the contract of a cluster, and which class stands for which `kind`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from swath.cluster.cost.budget import Budget
from swath.engine.call import OutputListener
from swath.engine.executors.executor import Executor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.cluster import AddressCluster, Cluster, InlineCluster, LocalCluster
from swath.spec.clusters.kubernetes import KubernetesCluster


@dataclass(frozen=True)
class RunContext:
    """The run that a cluster is brought up for."""

    run: str
    """Its id."""
    journal: Journal
    """Where leases are written down before anything is made."""
    stop: Stop
    """Whether it was asked to stop: nobody waits for machines then."""
    say: Callable[[str, str], None]
    """A line for its readers: level and text."""
    budget: Budget | None = None
    """What machines may cost."""


class RunningCluster(Protocol):
    """Compute for one run. A context manager: leaving it closes everything that it started, whatever happened."""

    kind: str
    workers: int
    """Worker processes that are up."""
    address: str
    """Of the scheduler; empty for inline."""

    def __enter__(self) -> Self:
        """Come up. Raises InfrastructureError when it does not within its deadline."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def executor(self, on_output: OutputListener, stop: Stop) -> Executor:
        """The executor on this cluster."""
        ...

    def check_store(self, store: ResultStore) -> None:
        """Make sure that workers and client see the same results. Raises InfrastructureError when they do not."""
        ...


def cluster_of(spec: Cluster, state: Path, tenant: RunContext | None = None) -> RunningCluster:
    """The cluster that a spec names, not started yet. `state` is the state folder, for scratch files; clusters that make
    machines are for a tenant only."""
    if isinstance(spec, InlineCluster):
        from swath.cluster.local.inline import Inline

        return Inline()
    if isinstance(spec, LocalCluster):
        from swath.cluster.local import fork_server

        fork_server.start()  # first: it imports Dask while this process does
        from swath.cluster.local.local import Local

        return Local(spec, state)
    if isinstance(spec, AddressCluster):
        from swath.cluster.local.address import Address

        return Address(spec)
    if isinstance(spec, AwsCluster | GcpCluster) and tenant is not None:
        from swath.cluster.cloud.cloud import Cloud

        return Cloud(spec, tenant)
    if isinstance(spec, KubernetesCluster) and tenant is not None:
        from swath.cluster.kubernetes.pods import KubernetesPods

        return KubernetesPods(spec, tenant)
    raise TypeError(spec)
