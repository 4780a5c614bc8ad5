"""What a supervisor makes of the answers of its server."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from swath.agent.attempt_folder import AttemptFolder, LineNumbers, ServerAddress
from swath.agent.supervisor import Supervisor
from swath.protocol.client import Client
from swath.protocol.messages import BeatAnswer, RunRequest, Work


def attempt(parent: Path, number: int) -> AttemptFolder:
    work = Work(
        run="20261128-lake", number=number, token="swath_attempt_secret", project="lakes",
        source={"folder": str(parent / "nowhere")}, request=RunRequest(project="lakes", spec="pipeline: predict"),
    )  # fmt: skip
    return AttemptFolder.create(parent, ServerAddress("http://127.0.0.1:9", "id"), work)


def test_lines_come_once_when_attempts_go_to_another_machine_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempt 1 sent two of three lines from here, attempt 2 another machine's seven: 3 goes on with the third line."""
    asked: list[Any] = []

    def beat(client: Client, run: str, number: int, earlier: int | None = None, commit: str = "") -> BeatAnswer:
        asked.append((number, earlier))
        return BeatAnswer(beat_s=10, lost_s=600, cancel="", next_line=10, earlier_next=3)

    monkeypatch.setattr(Client, "beat", beat)
    attempt(tmp_path, 1).write_numbers(LineNumbers(0, 1))
    third = attempt(tmp_path, 3)
    supervisor = Supervisor(third)
    supervisor._beat()
    supervisor._beat()
    assert asked == [(3, 1), (3, None)]
    assert third.numbers() == LineNumbers(2, 10)


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        (0, "failed", 1), (1, "failed", 1), (2, "refused", 2), (3, "failed", 3), (4, "failed", 4), (5, "failed", 5),
        (6, "failed", 6), (7, "failed", 7), (130, "interrupted", 130), (143, "terminated", 143), (-9, "failed", 137),
        (-11, "failed", 139),
    ],
)  # fmt: skip
def test_an_end_without_a_row_in_the_journal_is_that_of_the_process_with_its_last_words(
    tmp_path: Path, code: int, status: str, exit_code: int
) -> None:
    folder = attempt(tmp_path, 1)
    folder.log.write_text("x" * 10_000 + " the last words\n")
    supervisor = Supervisor(folder)
    supervisor._child = subprocess.Popen(["/bin/true"])
    supervisor._child.wait()
    supervisor._child.returncode = code
    end = supervisor._end()
    assert (end.status, end.exit_code) == (status, exit_code)
    assert end.error.endswith("the last words")
    assert len(end.error) <= 4000
