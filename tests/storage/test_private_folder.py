"""State folders and their files can be read by their owner only."""

from __future__ import annotations

from pathlib import Path

from swath.engine.journal import Journal
from swath.storage.private_folder import make_private, make_private_file


def mode(path: Path) -> int:
    """Permissions of a path."""
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_private_and_one_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    make_private(tmp_path / "project" / "state")
    assert mode(tmp_path / "project" / "state") == 0o700
    (tmp_path / "shared").mkdir(mode=0o755)
    make_private(tmp_path / "shared")
    assert mode(tmp_path / "shared") == 0o755


def test_a_file_that_others_could_read_becomes_private_and_so_does_its_folder_if_swath_made_it(tmp_path: Path) -> None:
    for name, expected in ((".swath", 0o700), ("mine", 0o755)):
        folder = tmp_path / name
        folder.mkdir(mode=0o755)
        (folder / "journal.sqlite").write_text("")
        (folder / "journal.sqlite").chmod(0o644)
        make_private_file(folder / "journal.sqlite")
        assert mode(folder / "journal.sqlite") == 0o600
        assert mode(folder) == expected


def test_a_journal_and_its_folder_are_private(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "state") as journal, journal.transaction():
        assert mode(tmp_path / "state") == 0o700
        assert {mode(file) for file in (tmp_path / "state").iterdir()} == {0o600}
