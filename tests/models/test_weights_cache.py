"""Weights at a URL are downloaded once per version; a file on this machine is used where it is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from swath.errors import ModelError
from swath.models.weights_cache import DownloadLimits, local_copy


@pytest.fixture(autouse=True)
def _temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is in the temp folder."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_path_is_its_own_copy() -> None:
    assert local_copy("models/water.pt2") == "models/water.pt2"


def test_a_version_is_downloaded_once_with_the_data_of_onnx(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    url = f"file://{tmp_path}/model.onnx"
    copy = Path(local_copy(url))
    assert (copy.read_bytes(), Path(f"{copy}.data").read_bytes()) == (b"graph", b"weights")
    copy.write_bytes(b"grapH")
    assert local_copy(url) == str(copy)
    assert copy.read_bytes() == b"grapH", "not downloaded again"
    (tmp_path / "model.onnx").write_bytes(b"graph 2")
    other = Path(local_copy(url))
    assert other != copy
    assert other.read_bytes() == b"graph 2"


@pytest.mark.parametrize("store", [{}, {"ETag": "1"}, {"Last-Modified": "Mon"}, {"created": 1.0}])
def test_weights_of_the_same_size_are_downloaded_again_unless_the_store_says_they_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: dict[str, object]
) -> None:
    info = {"size": 5, **store}

    def described(files: object, name: str) -> dict[str, object]:
        return info

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.info", described)
    (tmp_path / "model.pt2").write_bytes(b"first")
    url = f"file://{tmp_path}/model.pt2"
    assert Path(local_copy(url)).read_bytes() == b"first"
    (tmp_path / "model.pt2").write_bytes(b"other")
    assert Path(local_copy(url)).read_bytes() == (b"first" if store else b"other")
    if store:
        info |= {key: f"{value}+" for key, value in store.items()}
        assert Path(local_copy(url)).read_bytes() == b"other"


def test_what_cannot_be_read_is_an_error_that_names_the_url(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"file://{tmp_path}/none.pt2: cannot be read"):
        local_copy(f"file://{tmp_path}/none.pt2")
    with pytest.raises(ModelError, match="nosuch:// is not a protocol that can be opened"):
        local_copy("nosuch://bucket/water.pt2")


def test_a_model_that_is_too_large_is_refused_before_it_is_downloaded(tmp_path: Path) -> None:
    with (tmp_path / "model.pt2").open("wb") as file:
        file.truncate(17 << 30)
    with pytest.raises(
        ModelError, match=r"18,253,611,008 bytes, more than the 17,179,869,184 of a model that is downloaded"
    ):
        local_copy(f"file://{tmp_path}/model.pt2")
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / "model.onnx.data").write_bytes(b"weights")
    with pytest.raises(ModelError, match="12 bytes, more than the 11"):
        local_copy(f"file://{tmp_path}/model.onnx", DownloadLimits(max_bytes=11))
    assert [each.name for each in (tmp_path / "temp").rglob("*") if each.is_file()] == ["model.onnx"]


@pytest.mark.parametrize("stored", [b"w" * 20_000_000, b"w" * 99])
def test_an_object_that_changes_its_size_after_it_was_asked_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: bytes
) -> None:
    def described(files: object, name: str) -> dict[str, object]:
        return {"size": 100, "ETag": "1"}

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.info", described)
    (tmp_path / "model.pt2").write_bytes(stored)
    with pytest.raises(ModelError, match="cannot be read"):
        local_copy(f"file://{tmp_path}/model.pt2", DownloadLimits(tries=2, first_pause_s=0))
    assert [each for each in (tmp_path / "temp").rglob("*") if each.is_file()] == []


def test_a_server_that_does_not_say_a_files_size_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def described(files: object, name: str) -> dict[str, object]:
        return {"size": None, "ETag": "1"}

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.info", described)
    with pytest.raises(ModelError, match="the server does not say how large the file is"):
        local_copy(f"file://{tmp_path}/model.pt2")


def test_a_cache_folder_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "temp" / f"swath-models-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "model.pt2").write_bytes(b"weights")
    with pytest.raises(Exception, match="is not a folder of this user alone"):
        local_copy(f"file://{tmp_path}/model.pt2")
