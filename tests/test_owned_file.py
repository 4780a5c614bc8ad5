"""Files and folders of this user alone: none that others could have written, and no links, pipes or folders in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swath.owned_file import is_own_folder, owned_text, replace_text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that swath wrote."""
    replace_text(tmp_path / "file", "text")
    return tmp_path / "file"


def test_what_was_written_is_read_and_nobody_else_can(file: Path) -> None:
    assert owned_text(file, 4) == "text"
    assert file.stat().st_mode & 0o777 == 0o600
    replace_text(file, "other")
    assert owned_text(file, 5) == "other"
    assert [each.name for each in file.parent.iterdir()] == ["file"]


def test_more_bytes_than_asked_for_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="too large"):
        owned_text(file, 3)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ValueError, match="not a file of this user only"):
        owned_text(file, 4)


def test_a_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ValueError, match="not a file of this user only"):
        owned_text(file, 4)
    assert not is_own_folder(file.parent)


def test_links_pipes_and_folders_are_refused(file: Path) -> None:
    (file.parent / "link").symlink_to(file)
    os.mkfifo(file.parent / "pipe", 0o600)
    (file.parent / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises((OSError, ValueError)):
            owned_text(file.parent / name, 4)


@pytest.mark.parametrize(("mode", "own"), [(0o700, True), (0o755, True), (0o770, False), (0o707, False)])
def test_a_folder_that_others_can_write_is_not_this_users_alone(tmp_path: Path, mode: int, own: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    assert is_own_folder(folder) == own
    (tmp_path / "link").symlink_to(folder)
    assert not is_own_folder(tmp_path / "link")
    (tmp_path / "file").write_text("")
    assert not is_own_folder(tmp_path / "file")
