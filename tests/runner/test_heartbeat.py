from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from pathlib import Path

from swath.engine.journal import Journal
from swath.runner.heartbeat import beating
from tests.engine.conftest import run_row


def beat_of(journal: Journal) -> float:
    return journal.find("r").heartbeat or 0.0


def test_a_heart_beats_on_its_own_and_stops_with_the_run(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        first = beat_of(journal)
        with beating(tmp_path, "r", every_s=0.05):
            time.sleep(0.5)  # the main thread is busy
        last = beat_of(journal)
        assert last > first
        time.sleep(0.2)
        assert beat_of(journal) == last


def test_a_locked_journal_costs_beats_but_not_the_run(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
        with beating(tmp_path, "r", every_s=0.05):
            other.execute("BEGIN IMMEDIATE")
            time.sleep(1.5)  # longer than a beat waits
            locked_out = beat_of(journal)
            other.execute("COMMIT")
            time.sleep(1.0)
        other.close()
        assert beat_of(journal) > locked_out


def test_a_state_folder_that_is_gone_does_not_end_the_run(tmp_path: Path) -> None:
    with beating(tmp_path / "state", "r", every_s=0.02):
        time.sleep(0.2)
        while not (tmp_path / "state").is_file():  # a beat may make the folder anew in between
            shutil.rmtree(tmp_path / "state", ignore_errors=True)
            with contextlib.suppress(IsADirectoryError):
                (tmp_path / "state").write_text("a file")
        time.sleep(0.2)
