"""Content identity: what changes it, and what does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from swath.file_identity import RemoteFacts, is_unknown, local_identity, remote_identity

YEAR_2020 = 1_577_836_800 * 10**9


def file(path: Path, text: str = "abc") -> Path:
    path.write_text(text)
    os.utime(path, ns=(YEAR_2020, YEAR_2020))
    return path


def test_an_untouched_file_keeps_its_identity_also_when_it_is_read(tmp_path: Path) -> None:
    path = file(tmp_path / "scene.tif")
    before = local_identity(path)
    path.read_bytes()
    file(tmp_path / "other.tif")
    assert local_identity(path) == before


def replaced(path: Path) -> None:
    path.unlink()
    file(path, "xyz")


def replaced_by_a_rename(path: Path) -> None:
    file(path.with_name("new"), "xyz").replace(path)


def overwritten_in_place(path: Path) -> None:
    with path.open("r+") as opened:
        opened.write("xyz")
    os.utime(path, ns=(YEAR_2020, YEAR_2020))


def copied_with_its_times(path: Path) -> None:
    shutil.copy2(file(path.with_name("new"), "xyz"), path)


@pytest.mark.parametrize("change", [replaced, replaced_by_a_rename, overwritten_in_place, copied_with_its_times])
def test_a_file_replaced_with_size_and_time_kept_is_another(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = file(tmp_path / "scene.tif")
    before, status = local_identity(path), path.stat()
    change(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert local_identity(path) != before


@pytest.mark.parametrize(
    ("name", "sidecar"),
    [
        *(("scene.tif", f"scene.{ending}") for ending in ("tif.aux.xml", "tif.ovr", "tif.msk", "tfw", "TFW", "tifw", "wld")),
        ("photo.jpg", "photo.jgw"),
        ("photo.png", "photo.pgw"),
        *(("labels.shp", f"labels.{ending}") for ending in ("dbf", "DBF", "prj", "shx", "cpg")),
        ("labels.gpkg", "labels.gpkg-wal"),
        ("labels.mif", "labels.mid"),
        ("labels.csv", "labels.csvt"),
    ],
)  # fmt: skip
def test_a_sidecar_that_appears_changes_or_goes_changes_the_identity(tmp_path: Path, name: str, sidecar: str) -> None:
    path, beside = file(tmp_path / name), tmp_path / sidecar
    alone = local_identity(path)
    file(beside)
    first = local_identity(path)
    replaced(beside)
    second = local_identity(path)
    beside.unlink()
    assert len({alone, first, second}) == 3
    assert local_identity(path) == alone


def test_other_files_beside_it_do_not_count(tmp_path: Path) -> None:
    path = file(tmp_path / "scene.tif")
    before = local_identity(path)
    for name in ("scene.json", "scene.qml", "scene2.tfw", "scene.tif.part", "another.tif"):
        file(tmp_path / name)
    (tmp_path / "scene.tif.msk").touch()
    assert local_identity(path) == before


def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "link.tif"
    link.symlink_to(file(tmp_path / "a.tif"))
    before = local_identity(link)
    link.unlink()
    link.symlink_to(file(tmp_path / "b.tif"))
    assert local_identity(link) != before


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "set.gdb/deep").mkdir(parents=True)
    inner = file(tmp_path / "set.gdb/deep/a.gdbtable")
    found = [local_identity(tmp_path / "set.gdb")]
    assert local_identity(tmp_path / "set.gdb") == found[0]
    replaced(inner)
    found.append(local_identity(tmp_path / "set.gdb"))
    file(tmp_path / "set.gdb/b")
    found.append(local_identity(tmp_path / "set.gdb"))
    (tmp_path / "set.gdb/b").rename(tmp_path / "set.gdb/c")
    found.append(local_identity(tmp_path / "set.gdb"))
    assert len(set(found)) == 4
    with pytest.raises(FileNotFoundError):
        local_identity(tmp_path / "nothing")


def test_a_remote_file_is_its_size_etag_and_time() -> None:
    facts = [
        RemoteFacts(3, '"a"', "Mon"),
        RemoteFacts(4, '"a"', "Mon"),
        RemoteFacts(3, '"b"', "Mon"),
        RemoteFacts(3, '"a"', "Tue"),
        RemoteFacts(3, "", "Mon"),
        RemoteFacts(3, '"a"', ""),
    ]
    assert len({remote_identity(each) for each in facts}) == len(facts)
    assert remote_identity(facts[0]) == remote_identity(RemoteFacts(3, '"a"', "Mon"))


def test_a_server_that_says_nothing_of_a_version_gives_no_identity_twice() -> None:
    first, second = remote_identity(RemoteFacts(3)), remote_identity(RemoteFacts(3))
    assert is_unknown(first)
    assert is_unknown(second)
    assert first != second
    assert not is_unknown(remote_identity(RemoteFacts(3, "", "Mon")))
