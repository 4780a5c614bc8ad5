from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swath.agent.attempt_folder import RUN_LOCK, AttemptFolder, LineNumbers, ServerAddress
from swath.engine.process import Process
from swath.errors import StateError
from swath.protocol.messages import RunRequest, Work

SERVER = ServerAddress("https://swath.example.org", "0123456789abcdef")
WORK = Work(
    run="20261128-lake", number=2, token="swath_attempt_secret", project="lakes", source={"folder": "/lakes"},
    request=RunRequest(project="lakes", spec="pipeline: predict"),
)  # fmt: skip


def test_whoever_comes_next_finds_everything_in_the_folder(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", SERVER, WORK)
    folder.write_process("run", Process.this())
    folder.write_numbers(LineNumbers(3, 7))
    (again,) = AttemptFolder.all(tmp_path / "attempts")
    assert (again.server, again.work) == (SERVER, WORK)
    assert again.spec.read_text() == "pipeline: predict"
    assert again.process("run") == Process.this()
    assert again.process("supervisor") is None
    assert again.numbers() == LineNumbers(3, 7)
    assert again.earlier() is None
    AttemptFolder(tmp_path / "attempts" / "20261128-lake.1").path.mkdir()
    assert again.earlier() is None
    AttemptFolder(tmp_path / "attempts" / "20261128-lake.1").write_numbers(LineNumbers(0, 1))
    assert (found := again.earlier()) is not None
    assert found.number == 1


def test_a_server_moves_and_another_one_does_not(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", SERVER, WORK)
    folder.move_server(ServerAddress("http://127.0.0.1:1", "another one"))
    assert folder.server == SERVER
    moved = ServerAddress("https://new.example.org", SERVER.id)
    folder.move_server(moved)
    assert folder.server == moved


def test_a_lock_lives_as_long_as_the_process_that_inherits_it(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", SERVER, WORK)
    assert not folder.is_locked(RUN_LOCK)
    with folder.locked(RUN_LOCK) as lock:
        assert lock is not None
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    assert folder.is_locked(RUN_LOCK)
    with folder.locked(RUN_LOCK) as second:
        assert second is None
    child.communicate(b"\n")
    with folder.locked(RUN_LOCK, wait_s=60) as third:
        assert third is not None


def test_only_this_user_can_read_it_and_its_token_is_forgotten_at_the_end(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", SERVER, WORK)
    assert folder.path.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.path.iterdir())
    folder.write_numbers(LineNumbers(0, 1))
    folder.end()
    assert folder.ended
    assert AttemptFolder.all(tmp_path / "attempts") == []
    assert all(WORK.token not in file.read_text() for file in folder.path.iterdir())
    assert folder.numbers() == LineNumbers(0, 1)  # the next attempt goes on from it


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = AttemptFolder.create(tmp_path / "attempts", SERVER, WORK)
    (folder.path / "work.json").write_text("{")
    with pytest.raises(StateError, match=r"work\.json cannot be read"):
        _ = folder.work
