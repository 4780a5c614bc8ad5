from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from swath.errors import TaskFailed
from swath.storage.publication import MANIFEST, Published, Staging, is_intact, published_name


def publish(target: str, run: str = "run", **files: bytes) -> Published:
    with Staging(target, run) as staging:
        for name, data in files.items():
            (staging.folder / name.replace("__", ".")).write_bytes(data)
        return staging.publish({"seams": {"exact": True}})


def test_files_appear_in_their_place_with_the_manifest_last_and_nothing_else_is_left(tmp_path: Path) -> None:
    published = publish(str(tmp_path / "deep" / "out"), item__json=b"{}", map__tif=b"pixels", a__txt=b"x")
    assert [file.name for file in published.files] == ["a.txt", "map.tif", MANIFEST]
    assert published.outputs()[-1] == f"{tmp_path}/deep/out/{MANIFEST}"
    assert (tmp_path / "deep/out/map.tif").read_bytes() == b"pixels"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert published.report()["seams"] == {"exact": True}


def test_each_file_is_flushed_before_it_gets_its_name_and_the_folder_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a file that has its name has its bytes."""
    done: list[tuple[str, str]] = []
    flush, rename = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append(("flush", Path(f"/proc/self/fd/{handle}").resolve().name))
        flush(handle)

    def replace(file: Path, to: Path) -> Path:
        done.append(("rename", file.name))
        return rename(file, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    publish(str(tmp_path / "out"), map__tif=b"pixels", item__json=b"{}")
    names = ("map.tif", "item.json")
    assert [step for step in done if step[0] == "rename"] == [("rename", name) for name in names]
    for name in names:
        assert done.index(("flush", name)) < done.index(("rename", name))
    assert done[-1] == ("flush", "out")


def test_a_failure_leaves_what_was_there_and_no_staging_folder(tmp_path: Path) -> None:
    publish(str(tmp_path / "out"), map__tif=b"old", item__json=b"{}")

    def fail() -> None:
        with Staging(str(tmp_path / "out"), "run") as staging:
            (staging.folder / "map.tif").write_bytes(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "out/map.tif").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_session_of_the_same_run_left_is_removed_first(tmp_path: Path) -> None:
    left = tmp_path / ".out.run.partial"
    left.mkdir()
    (left / "half.tif").write_bytes(b"half")
    published = publish(str(tmp_path / "out"), item__json=b"{}")
    assert [file.name for file in published.files] == [MANIFEST]
    assert not left.exists()


def test_a_file_that_only_the_earlier_manifest_names_goes_and_others_stay(tmp_path: Path) -> None:
    manifest = (
        b'{"assets": {"map": {"href": "./map.tif"}, "vectors": {"href": "./map.parquet"}, "up": {"href": "./../x"}}}'
    )
    publish(str(tmp_path / "out"), map__tif=b"old", map__parquet=b"old", item__json=manifest)
    (tmp_path / "out/notes.txt").write_text("mine")
    publish(str(tmp_path / "out"), map__tif=b"new", item__json=b"{}")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["item.json", "map.tif", "notes.txt"]


@pytest.mark.parametrize("harm", ["gone", "shorter", "other bytes"])
def test_a_publication_that_was_touched_is_not_intact(tmp_path: Path, harm: str) -> None:
    published = publish(str(tmp_path / "out"), map__tif=b"pixels", item__json=b"{}")
    assert is_intact(published)
    path = tmp_path / "out/map.tif"
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(b"pixel" if harm == "shorter" else b"pixelz")
    assert not is_intact(published)


def test_an_address_gets_the_same_files(tmp_path: Path) -> None:
    import fsspec

    published = publish("memory://bucket/out", map__tif=b"pixels", item__json=b"{}")
    assert fsspec.filesystem("memory").cat("/bucket/out/map.tif") == b"pixels"
    assert is_intact(published)
    fsspec.filesystem("memory").rm("/bucket/out/map.tif")
    assert not is_intact(published)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root only")
def test_a_full_disk_names_the_file_and_keeps_the_old_output(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        publish(str(disk / "out"), map__tif=b"old", item__json=b"{}")

        def fill() -> None:
            from swath.storage.durable_write import writing

            with Staging(str(disk / "out"), "run") as staging, writing(staging.folder / "map.tif"):
                (staging.folder / "map.tif").write_bytes(bytes(200_000))

        with pytest.raises(TaskFailed, match=r"map\.tif could not be written.*bytes are free"):
            fill()
        assert (disk / "out/map.tif").read_bytes() == b"old"
        assert [path.name for path in disk.iterdir()] == ["out"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("manifest", ["item.json", "collection.json"])
def test_a_manifest_that_lists_itself_or_files_elsewhere_ends_and_removes_nothing_there(
    tmp_path: Path, manifest: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "mine.tif").write_bytes(b"mine")
    links = [
        {"rel": "item", "href": f"./{manifest}"},
        {"rel": "item", "href": "../mine.tif"},
        {"rel": "item", "href": "./a.json"},
    ]
    assets = {"map": {"href": "../mine.tif"}, "other": {"href": f"{tmp_path}/mine.tif"}}
    document = json.dumps({"links": links, "assets": assets})
    (tmp_path / "out" / manifest).write_text(document)
    (tmp_path / "out/a.json").write_text(document)
    publish(str(tmp_path / "out"), map__tif=b"new", item__json=b"{}")
    assert (tmp_path / "mine.tif").read_bytes() == b"mine"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["item.json", "map.tif"]


def test_a_pipe_in_place_of_the_old_manifest_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out/item.json")
    publish(str(tmp_path / "out"), item__json=b"{}")
    assert (tmp_path / "out/item.json").read_bytes() == b"{}"


@pytest.mark.parametrize("href", ["", ".", "..", "./..", "a/b", "/a", "a\\b", "c:a", "s3://a", "a\n", "a" * 256, "*"])
def test_only_a_plain_name_is_a_file_beside_a_manifest(href: str) -> None:
    with pytest.raises(ValueError, match="is not a file beside it"):
        published_name(href)
    assert published_name("./map r1c2.tif") == published_name("map r1c2.tif") == "map r1c2.tif"
