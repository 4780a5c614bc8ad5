"""Which folders are trusted: the user's list, SWATH_TRUST, and folders that were replaced."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from swath.errors import UsageError
from swath.project.trust import TrustedFolder, TrustedFolders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder."""
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.fixture
def trusted(tmp_path: Path) -> TrustedFolders:
    """An empty list."""
    return TrustedFolders(tmp_path / "config" / "swath" / "trusted")


def test_a_folder_is_trusted_from_add_to_remove(folder: Path, trusted: TrustedFolders) -> None:
    assert not trusted.has(folder)
    trusted.add(folder)
    trusted.add(folder)
    assert trusted.has(folder)
    assert [each.folder for each in trusted.all()] == [str(folder)]
    assert trusted.remove(folder)
    assert not trusted.remove(folder)
    assert not trusted.has(folder)


def test_only_the_user_can_read_the_list(folder: Path, trusted: TrustedFolders) -> None:
    trusted.add(folder)
    assert trusted.file is not None
    assert trusted.file.stat().st_mode & 0o777 == 0o600
    assert trusted.file.parent.stat().st_mode & 0o777 == 0o700


def test_a_list_that_others_can_write_is_empty(folder: Path, trusted: TrustedFolders) -> None:
    trusted.add(folder)
    assert trusted.file is not None
    trusted.file.chmod(0o666)
    assert not trusted.has(folder)


def test_a_damaged_line_is_no_folder(folder: Path, trusted: TrustedFolders) -> None:
    trusted.add(folder)
    assert trusted.file is not None
    trusted.file.write_text('{"folder": 1\n[]\n{"other": 2}\n' + trusted.file.read_text())
    assert trusted.has(folder)


def test_a_folder_that_was_replaced_is_not_trusted(folder: Path, trusted: TrustedFolders) -> None:
    trusted.add(folder)
    folder.rename(folder.with_name("moved"))
    folder.mkdir()
    assert not trusted.has(folder)
    assert not trusted.has(folder.with_name("moved"))


def test_a_folder_that_got_the_inode_of_a_removed_one_is_not_trusted(folder: Path) -> None:
    """Of ext4, which gives it to the next folder."""
    found = replace(TrustedFolder.of(folder), device=os.makedev(8, 1), born=5)
    assert found.is_same(replace(found, born=5))
    assert not found.is_same(replace(found, born=6))
    assert found.is_same(replace(found, born=0)), "one of an older list, or of a system that does not say it"


def test_a_folder_that_is_removed_and_made_again_is_not_trusted(folder: Path, trusted: TrustedFolders) -> None:
    trusted.add(folder)
    folder.rmdir()
    folder.mkdir()
    assert not trusted.has(folder)


def test_a_folder_of_another_owner_or_file_system_is_not_trusted(folder: Path) -> None:
    found = TrustedFolder.of(folder)
    assert found.is_same(found)
    assert not found.is_same(replace(found, uid=found.uid + 1))
    assert not found.is_same(replace(found, device=os.makedev(8, 77)))
    nfs = replace(found, device=os.makedev(0, 41))
    assert nfs.is_same(replace(found, device=os.makedev(0, 52)))


def test_folders_above_and_below_a_trusted_one_are_not_trusted(folder: Path, trusted: TrustedFolders) -> None:
    trusted.add(folder)
    (folder / "vendor").mkdir()
    assert not trusted.has(folder / "vendor")
    assert not trusted.has(folder.parent)


def test_a_symbolic_link_to_a_trusted_folder_is_trusted_and_one_that_moved_on_is_not(
    folder: Path, trusted: TrustedFolders
) -> None:
    link = folder.with_name("link")
    link.symlink_to(folder)
    trusted.add(link)
    assert trusted.has(link)
    assert trusted.has(folder)
    other = folder.with_name("other")
    other.mkdir()
    link.unlink()
    link.symlink_to(other)
    assert not trusted.has(link)


@pytest.mark.parametrize(
    ("value", "has"),
    [("1", True), ("true", True), ("", False), ("0", False), ("no", False), ("{}", True), ("/x:{}", True), ("{}/below", False),
     ("relative:.", False)],
)  # fmt: skip
def test_the_variable_trusts_all_or_its_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch, value: str, *, has: bool
) -> None:
    monkeypatch.chdir(folder)
    env = {"SWATH_TRUST": value.format(folder), "XDG_CONFIG_HOME": str(folder.parent / "none")}
    assert TrustedFolders.of_user(env).has(folder) == has


def test_no_folder_and_no_place_for_the_list_are_usage_errors(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        TrustedFolders(tmp_path / "list").add(folder / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="SWATH_TRUST"):
        TrustedFolders(tmp_path / "file" / "swath" / "trusted").add(folder)
    shutil.rmtree(folder)
    assert not TrustedFolders(tmp_path / "list", "1").has(folder)
