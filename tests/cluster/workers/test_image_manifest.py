"""An image whose packages do not fit is refused; one from another commit is not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from swath.cluster.local.address import Address
from swath.cluster.workers import image_manifest
from swath.cluster.workers.image_manifest import (
    Manifest,
    changed_packages,
    fingerprint,
    installed,
    requirements,
    unmet_requirements,
)
from swath.errors import InfrastructureError
from swath.spec.clusters.cluster import AddressCluster
from tests.cluster.conftest import ROOT, ExternalCluster

NEEDED = [Requirement("rasterio>=1.4.3"), Requirement("NumPy>=2.1"), Requirement("torch")]
FITS = {"rasterio": "1.4.4", "numpy": "2.4.6", "torch": "2.13.0"}


def image(packages: dict[str, str], commit: str = "abc1234") -> Manifest:
    return Manifest(commit, "0" * 16, packages)


def test_an_image_that_meets_every_requirement_is_not_rebuilt_whatever_its_commit() -> None:
    assert unmet_requirements(image(FITS, commit="of last year"), NEEDED) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rasterio": "1.4.2"}, "rasterio is 1.4.2 there, here >=1.4.3 is needed"),
        ({"rasterio": ""}, "rasterio is missing there, here >=1.4.3 is needed"),
        ({"torch": ""}, "torch is missing there, here it is needed"),
    ],
)
def test_a_requirement_that_the_image_does_not_meet_is_named(change: dict[str, str], message: str) -> None:
    packages = {name: version for name, version in {**FITS, **change}.items() if version}
    assert [str(each) for each in unmet_requirements(image(packages), NEEDED)] == [message]


def test_a_newer_version_within_the_range_is_a_warning_and_not_refused() -> None:
    newer = image({**FITS, "numpy": "2.5.0", "only-there": "1"})
    assert unmet_requirements(newer, NEEDED) == []
    assert [str(each) for each in changed_packages(newer, FITS)] == ["numpy is 2.5.0 there, here 2.4.6"]


PIN = st.from_regex(r"[a-z]{1,8}==[0-9]\.[0-9]{1,2}", fullmatch=True)


@given(st.lists(PIN, unique=True, min_size=1), st.randoms())
def test_the_fingerprint_follows_pins_only(pins: list[str], random: object) -> None:
    shuffled = sorted(pins, key=lambda _: random.random())  # type: ignore[attr-defined]
    commented = "# Pins\n\n" + "\n".join(f"{pin}  # why" for pin in shuffled) + "\n"
    assert fingerprint(commented) == fingerprint("\n".join(pins))
    assert fingerprint("\n".join(pins[1:])) != fingerprint("\n".join(pins))


def test_all_direct_and_indirect_requirements_are_listed_as_they_are_installed() -> None:
    found = installed()
    assert {each.name.lower() for each in requirements()} <= found.keys()
    assert found["tornado"] == metadata.version("tornado")  # of distributed
    assert found["torch"] == metadata.version("torch").partition("+")[0]  # CPU and CUDA builds are the same release
    assert "pytest" not in found
    assert unmet_requirements(image(found), requirements()) == []


def test_the_command_writes_what_an_image_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", image_manifest.__name__, "--constraints", str(ROOT / "constraints.txt")]
    mark, whole = (
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for more in ([], ["--commit", "abc1234"])
    )
    assert re.fullmatch(r"[0-9a-f]{16}\n", mark)
    (tmp_path / "image.json").write_text(whole)
    monkeypatch.setenv("SWATH_IMAGE", str(tmp_path / "image.json"))
    assert Manifest.of_image() == Manifest("abc1234", mark.strip(), installed())
    monkeypatch.setenv("SWATH_IMAGE", str(tmp_path / "none.json"))
    assert Manifest.of_image() is None


def workers_image(folder: Path, change: dict[str, str | None]) -> dict[str, str]:
    """Environment of a worker that runs in an image whose packages are these."""
    packages = {name: version for name, version in {**installed(), **change}.items() if version}
    (folder / "image.json").write_text(json.dumps({"commit": "abc1234", "constraints": "", "packages": packages}))
    return {"SWATH_IMAGE": str(folder / "image.json")}


@pytest.mark.slow
def test_at_connect_an_image_is_refused_for_missing_dependencies_only(
    external_cluster: Callable[..., ExternalCluster], tmp_path: Path
) -> None:
    from swath.cluster.workers import versions

    cluster = external_cluster()
    fits = cluster.worker(env=workers_image(tmp_path, {"pillow": "99.0"}))
    with Address(AddressCluster(url=cluster.address)) as running:
        assert "pillow is 99.0 there" in versions.package_warning(running.session.client)
    fits.terminate()
    fits.wait(20)
    cluster.worker(env=workers_image(tmp_path, {"isal": None}))
    with pytest.raises(InfrastructureError, match=r"commit abc1234.*isal is missing there, here >=1\.7") as caught:
        Address(AddressCluster(url=cluster.address)).__enter__()
    assert "rebuild the image" in caught.value.remedy
