from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swath.cluster.open import open_cluster
from swath.cluster.workers.versions import differences
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import AddressCluster
from tests.cluster.conftest import ExternalCluster
from tests.waiting import until

HERE = {"python": "3.11.7.final.0", "distributed": "2026.8.0", "cloudpickle": "3.1.2", "numpy": "2.3.1", "pandas": None}


@pytest.mark.parametrize(
    ("package", "version", "fits"),
    [
        ("python", "3.11.9.final.0", True),
        ("python", "3.12.7.final.0", False),
        ("distributed", "2026.8.1", False),
        ("cloudpickle", "3.1.9", True),
        ("cloudpickle", "3.2.0", False),
        ("numpy", "2.0.0", True),
        ("numpy", "1.26.4", False),
        ("numpy", None, True),
        ("pandas", "2.2.0", True),
        ("something", "1.0", True),
    ],
)
def test_only_incompatible_versions_count(package: str, version: str | None, fits: bool) -> None:
    found = differences(HERE, {**HERE, package: version})
    assert list(found) == ([] if fits else [package])


def test_a_difference_has_both_versions() -> None:
    assert differences(HERE, {**HERE, "python": "3.12.0.final.0"}) == {"python": ("3.11.7", "3.12.0")}


def other_swath(folder: Path) -> dict[str, str]:
    """The environment of a process that has a swath of another version."""
    from tests.cluster.conftest import ROOT

    (folder / "sitecustomize.py").write_text("import swath.version\nswath.version.__version__ = '0.0.7'\n")
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


@pytest.mark.slow
def test_workers_of_another_version_of_swath_are_refused_and_both_versions_are_named(
    external_cluster: Callable[..., ExternalCluster], tmp_path: Path
) -> None:
    cluster = external_cluster()
    cluster.worker(env=other_swath(tmp_path))
    with pytest.raises(InfrastructureError, match=r"do not run swath 0\.2.* says: 0\.0\.7") as caught:
        open_cluster(AddressCluster(url=cluster.address), tmp_path).__enter__()
    assert caught.value.exit_code == 5
    assert "install swath==" in caught.value.remedy


@pytest.mark.slow
def test_a_worker_that_joins_later_and_does_not_fit_is_an_error_at_the_next_call(
    external_cluster: Callable[..., ExternalCluster], tmp_path: Path
) -> None:
    cluster = external_cluster()
    cluster.worker()
    with open_cluster(AddressCluster(url=cluster.address), tmp_path) as running:
        running.check({})  # type: ignore[attr-defined]
        cluster.worker(env=other_swath(tmp_path))
        with pytest.raises(InfrastructureError, match=r"worker .*, which has joined .* says: 0\.0\.7"):
            until(lambda: running.check({}), 30)  # type: ignore[attr-defined]
