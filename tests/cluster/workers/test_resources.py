from __future__ import annotations

from pathlib import Path

import pytest

from swath.cluster.open import open_cluster
from swath.cluster.workers.resources import check, fits
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import LocalCluster

SMALL = {"cpu": 1.0, "memory": 2e9}
BIG = {"cpu": 4.0, "memory": 16e9, "gpu": 1.0}


@pytest.mark.parametrize("asked", [{}, {"cpu": 1}, {"memory": 2e9}, {"gpu": 1, "memory": 16e9}, {"cpu": 4, "gpu": 0.5}])
def test_resources_of_one_worker_are_never_refused(asked: dict[str, float]) -> None:
    check(asked, [SMALL, BIG])


def test_resources_that_no_worker_has_are_exit_code_5_with_both_sides() -> None:
    with pytest.raises(InfrastructureError) as caught:
        check({"gpu": 2, "cpu": 1}, [SMALL, SMALL, BIG])
    assert caught.value.exit_code == 5
    assert caught.value.message == (
        "a call asks for cpu 1, gpu 2, but workers offer cpu 1, memory 2 GB; others offer cpu 4, gpu 1, memory 16 GB"
    )
    assert "gpu: ..." in caught.value.remedy
    with pytest.raises(InfrastructureError, match="memory 5 GB") as caught:
        check({"memory": 5e9}, [SMALL])
    assert "memory_gb" in caught.value.remedy
    with pytest.raises(InfrastructureError, match="less at once"):
        check({"gpu": 1, "ssd": 1}, [{"gpu": 1.0}, {"ssd": 1.0}])
    with pytest.raises(InfrastructureError, match="workers offer nothing"):
        check({"gpu": 1}, [])


def test_a_resource_that_a_worker_does_not_name_counts_as_zero() -> None:
    assert not fits({"gpu": 0.1}, SMALL)
    assert fits({"gpu": 0}, SMALL)


def test_local_workers_have_cpu_memory_and_the_resources_of_the_spec(tmp_path: Path) -> None:
    spec = LocalCluster(workers=1, memory_gb=1, resources={"gpu": 2})
    with open_cluster(spec, tmp_path) as cluster:
        (worker,) = cluster.session.client.scheduler_info()["workers"].values()  # type: ignore[attr-defined]
        assert worker["resources"] == {"cpu": 1, "memory": 1_000_000_000, "gpu": 2}
        assert cluster.session.client.submit(lambda: "ran", resources={"gpu": 2, "cpu": 1}).result(timeout=20) == "ran"  # type: ignore[attr-defined]
        cluster.check({"gpu": 2})  # type: ignore[attr-defined]
        with pytest.raises(InfrastructureError, match="asks for gpu 3"):
            cluster.check({"gpu": 3})  # type: ignore[attr-defined]
