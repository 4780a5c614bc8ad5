from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.contract import RunContext
from swath.cluster.open import open_cluster
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.spec.clusters.cluster import AddressCluster, Cluster, InlineCluster, LocalCluster
from swath.spec.clusters.kubernetes import KubernetesCluster
from tests.cluster.specs import gcp_spec

PODS = KubernetesCluster(kind="kubernetes", namespace="maps", image="ghcr.io/acme/swath:1")


@pytest.mark.parametrize("spec", [InlineCluster(), LocalCluster(workers=1), AddressCluster(url="tcp://127.0.0.1:9")])
def test_a_cluster_without_machines_is_opened_by_its_kind_and_not_started(spec: Cluster, tmp_path: Path) -> None:
    assert open_cluster(spec, tmp_path).kind == spec.kind
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spec", [gcp_spec(), PODS])
def test_a_cluster_with_machines_is_opened_for_a_run_only(spec: Cluster, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        open_cluster(spec, tmp_path)
    with Journal.open(tmp_path) as journal:
        cluster = open_cluster(spec, tmp_path, RunContext("run", journal, Stop(), print))
        assert cluster.kind == spec.kind
        assert journal.leases() == []
