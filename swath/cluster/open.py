"""The cluster that a spec asks for. Each class is imported only when it is used, so that its packages need not be installed."""

from __future__ import annotations

from pathlib import Path

from swath.cluster.contract import RunContext, RunningCluster
from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.cluster import AddressCluster, AutoCluster, Cluster, InlineCluster, LocalCluster
from swath.spec.clusters.kubernetes import KubernetesCluster


def open_cluster(spec: Cluster, state: Path, context: RunContext | None = None) -> RunningCluster:
    """The cluster of a spec, not started: entering it starts it.

    `state` is the state folder, for scratch files. `context` is needed by clusters that create machines. Raises TypeError
    when it is missing, and MissingExtra when a package of that cluster is not installed.
    """
    if isinstance(spec, InlineCluster):
        from swath.cluster.local.inline import Inline

        return Inline()
    if isinstance(spec, LocalCluster | AutoCluster):
        from swath.cluster.local import fork_server

        fork_server.start()  # first: it imports Dask while this process does
        from swath.cluster.local.local import Local

        return Local(spec.local() if isinstance(spec, AutoCluster) else spec, state)
    if isinstance(spec, AddressCluster):
        from swath.cluster.local.address import Address

        return Address(spec)
    if isinstance(spec, AwsCluster | GcpCluster) and context is not None:
        from swath.cluster.cloud.cloud import CloudMachines

        return CloudMachines(spec, context)
    if isinstance(spec, KubernetesCluster) and context is not None:
        from swath.cluster.kubernetes.pods import KubernetesPods

        return KubernetesPods(spec, context)
    raise TypeError(f"a cluster of {spec.kind} machines is only for a run")
