from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swath.cluster.open import open_cluster
from swath.cluster.workers import image_manifest, versions
from swath.cluster.workers.image_manifest import Manifest
from swath.cluster.workers.versions import COMPARED_PARTS, SHOWN_PACKAGES, differences, package_warning
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import AddressCluster
from swath.version import __version__
from tests.cluster.conftest import ExternalCluster
from tests.cluster.workers.fake_client import FakeClient
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


@pytest.mark.parametrize(("package", "parts"), list(COMPARED_PARTS.items()))
def test_as_many_parts_of_a_version_count_as_the_table_says(package: str, parts: int) -> None:
    def version(changed: int) -> str:
        return ".".join("2" if number == changed else "1" for number in range(4))

    assert parts >= 1
    assert differences({package: version(-1)}, {package: version(parts - 1)})
    assert not differences({package: version(-1)}, {package: version(parts)})


def test_a_difference_has_both_versions() -> None:
    assert differences(HERE, {**HERE, "python": "3.12.0.final.0"}) == {"python": ("3.11.7", "3.12.0")}


def client(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> FakeClient:
    """A scheduler and two workers that fit, but for what is changed."""
    monkeypatch.setattr(versions, "_here", lambda: HERE)
    fits: dict[str, Any] = {
        "versions": {"packages": HERE},
        "broadcast": {"a": {"packages": HERE}, "b": {"packages": HERE}},
        "scheduler _version": __version__,
        "workers _version": {"a": __version__, "b": __version__},
        "workers of_image": {"a": None, "b": OSError("left")},
    }
    return FakeClient(**fits | changed)


def image(**packages: str) -> Manifest:
    return Manifest("c0ffee", "", packages)


def test_a_cluster_that_fits_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    here = client(monkeypatch)
    versions.check(here, "tls://s")
    assert {options["on_error"] for name, options in here.asked if name == "broadcast"} == {"ignore"}
    numpy_of_scheduler = {"packages": {**HERE, "numpy": "1.0"}}
    versions.check(client(monkeypatch, versions=numpy_of_scheduler), "tls://s")  # it unpickles no arrays


@pytest.mark.parametrize(
    ("changed", "said", "remedy"),
    [
        (
            {"versions": {"packages": {**HERE, "distributed": "2025.1.0"}}},
            "the scheduler at tls://s does not fit .* distributed is 2025.1.0 there and 2026.8.0 here",
            "^install distributed==2026.8.0 there, or",
        ),
        (
            {"broadcast": {"a": {"packages": HERE}, "b": {"packages": {**HERE, "python": "3.12.1.final.0"}}}},
            "worker b does not fit .* python is 3.12.1 there and 3.11.7 here",
            "^use Python 3.11 there, or",
        ),
        (
            {"broadcast": {"b": {"packages": {**HERE, "python": "3.12.1", "numpy": "1.0"}}}},
            "worker b does not fit",
            "^use Python 3.11 there and install numpy==2.3.1 there, or",
        ),
        (
            {"scheduler _version": "0.0.7"},
            "the scheduler at tls://s does not run swath .* says: 0.0.7",
            "install swath",
        ),
        ({"scheduler _version": ImportError("no swath")}, "says: ImportError: no swath", "install swath"),
        (
            {"workers _version": {"a": "0.0.7", "b": __version__, "c": OSError("left")}},
            "1 of 3 workers at tls://s do not run swath .*; a says: 0.0.7",
            "install swath",
        ),
        (
            {"workers of_image": {"a": image(numpy="1.0")}},
            "the image of worker a, built from commit c0ffee, is older",
            "make image",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_both_versions_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], said: str, remedy: str
) -> None:
    with pytest.raises(InfrastructureError, match=said) as caught:
        versions.check(client(monkeypatch, **changed), "tls://s")
    assert re.search(remedy, caught.value.remedy)


def test_a_worker_that_has_left_while_it_was_asked_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    here = client(monkeypatch, **{"workers _version": {"a": OSError("closed"), "b": __version__}})
    versions.check_workers(here, "tls://s", ["a", "b"])
    assert all(options["workers"] == ["a", "b"] for _, options in here.asked)


def test_a_worker_that_has_joined_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = client(monkeypatch, **{"workers _version": {"a": "0.0.7"}})
    with pytest.raises(InfrastructureError, match="worker a, which has joined tls://s, does not run swath"):
        versions.check_workers(here, "tls://s", ["a"])


def test_a_scheduler_that_is_lost_meanwhile_is_not_one_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="cut"):
        versions.check(client(monkeypatch, **{"scheduler _version": OSError("cut")}), "tls://s")


@pytest.mark.parametrize("more", [0, 1, 3])
def test_other_packages_of_the_image_are_a_warning_that_names_the_first(
    monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    here = {f"p{number}": "2" for number in range(SHOWN_PACKAGES + more)}
    monkeypatch.setattr(image_manifest, "installed", lambda: here)
    there = dict.fromkeys(here, "1")
    said = package_warning(client(monkeypatch, **{"workers of_image": {"a": image(**there)}}))  # type: ignore[arg-type]
    assert said.count(" is 1 there, here 2") == SHOWN_PACKAGES
    assert (f"; and {more} more" in said) is bool(more)
    mixed = client(monkeypatch, **{"workers of_image": {"a": image(**here), "b": image(**there)}})
    assert package_warning(mixed) == said  # type: ignore[arg-type]
    same = client(monkeypatch, **{"workers of_image": {"a": image(**here)}})
    assert package_warning(same) == ""  # type: ignore[arg-type]


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
