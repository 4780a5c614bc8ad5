"""Rows of the journal: which runs are crashed or silent."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.process import process_start_s
from tests.engine.conftest import run_row


def test_a_run_whose_process_is_gone_is_shown_as_crashed(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r", pid=child.pid, process_started=process_start_s(child.pid)))
        assert journal.find("r").status == "running"
        child.communicate(b"\n")
        assert journal.find("r").status == "crashed"


def test_a_run_of_another_host_is_crashed_once_it_was_silent_for_fifteen_seconds(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        for name, silent in (("quick", 5), ("slow", 14), ("gone", 16)):
            journal.start_run(run_row(name, host="elsewhere"))
            _set_heartbeat(tmp_path, name, time.time() - silent)
        assert {run.id: run.status for run in journal.runs()} == {
            "quick": "running",
            "slow": "running",
            "gone": "crashed",
        }


def test_a_run_of_this_host_that_is_silent_is_running_and_says_for_how_long(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        assert journal.find("r").silent_s == 0
        _set_heartbeat(tmp_path, "r", time.time() - 100)
        assert journal.find("r").status == "running"
        assert 100 <= journal.find("r").silent_s < 110
        journal.write_heartbeat("r")
        assert journal.find("r").silent_s == 0


def _set_heartbeat(state: Path, run: str, at: float) -> None:
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection, connection:
        connection.execute("UPDATE runs SET heartbeat = ? WHERE id = ?", (at, run))


def test_the_seconds_of_a_run_are_those_of_its_sessions() -> None:
    ended = run_row("run", status="done", started=100.0, finished=160.0)
    assert ended.seconds == 60
    again = run_row("run", status="done", started=100.0, finished=160.0, paused_s=ended.paused_until(170.0))
    assert (again.paused_s, again.seconds) == (10, 50)
    assert run_row("run", status="failed", started=100.0, heartbeat=120.0).paused_until(150.0) == 30
