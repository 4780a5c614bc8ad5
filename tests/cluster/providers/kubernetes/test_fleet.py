from __future__ import annotations

from swath.cluster.providers.kubernetes.fleet import KubernetesFleet
from swath.cluster.providers.machine import Machine
from swath.cluster.teardown import removal


def test_machines_that_are_left_are_named_with_the_command_that_removes_them() -> None:
    left = Machine("1a2b", "swath-1", "run-1", "cluster", 0.0, "office/maps", "Running", "DaskCluster")
    error = removal.not_confirmed(KubernetesFleet("office/maps"), "run-1", [left])
    assert "kubectl --context=office --namespace=maps delete daskcluster swath-1" in error.remedy
