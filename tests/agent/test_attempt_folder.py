from __future__ import annotations

from pathlib import Path

import pytest

from swath.agent.attempt_folder import AttemptFolder, LineNumbers
from swath.engine.process import Process
from swath.errors import StateError
from swath.protocol.messages import RunRequest, Work

WORK = Work(
    run="20261128-lake", number=2, token="swath_attempt_secret", project="lakes", source={"folder": "/lakes"},
    request=RunRequest(project="lakes", spec="pipeline: predict"),
)  # fmt: skip


def test_whoever_comes_next_finds_everything_in_the_folder(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", "https://swath.example.org", WORK)
    folder.write_process("run", Process.this())
    folder.write_numbers(LineNumbers(3, 7))
    (again,) = AttemptFolder.all(tmp_path / "attempts")
    assert (again.server, again.work) == ("https://swath.example.org", WORK)
    assert again.process("run") == Process.this()
    assert again.process("supervisor") is None
    assert again.numbers() == LineNumbers(3, 7)
    assert again.before().path.name == "20261128-lake.1"
    assert again.before().numbers() is None


def test_only_this_user_can_read_it_and_its_token_is_forgotten_at_the_end(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", "https://swath.example.org", WORK)
    assert folder.path.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.path.iterdir())
    folder.write_numbers(LineNumbers(0, 1))
    folder.end()
    assert folder.ended
    assert AttemptFolder.all(tmp_path / "attempts") == []
    assert all("secret" not in file.read_text() for file in folder.path.iterdir())
    assert folder.numbers() == LineNumbers(0, 1)  # the next attempt goes on from it


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", "https://swath.example.org", WORK)
    (folder.path / "work.json").write_text("{")
    with pytest.raises(StateError, match=r"work\.json cannot be read"):
        _ = folder.work
