"""State folders that this user's swath created, and those that it did not."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.storage.state_owner import FILE, is_own, mark_as_own


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration of the user."""
    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def test_a_marked_folder_is_own_also_when_it_was_moved(state: Path, config: Path) -> None:
    assert not is_own(state)
    mark_as_own(state)
    assert is_own(state)
    assert is_own(state.rename(state.with_name("moved")))
    assert (config / "swath" / "key").stat().st_mode & 0o777 == 0o600


def test_a_mark_that_was_copied_and_one_of_another_key_are_foreign(state: Path, config: Path) -> None:
    mark_as_own(state)
    copy = state.with_name("copy")
    copy.mkdir()
    (copy / FILE).write_bytes((state / FILE).read_bytes())
    (copy / FILE).chmod(0o600)
    assert not is_own(copy)
    (config / "swath" / "key").write_text("0" * 64)
    assert not is_own(state)


def test_a_key_that_others_could_write_or_no_place_for_one_makes_folders_foreign(state: Path, config: Path) -> None:
    config.write_text("")
    mark_as_own(state)
    assert not (state / FILE).exists()
    assert not is_own(state)
