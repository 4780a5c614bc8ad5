from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from swath.engine.journal import Journal
from swath.engine.journal_rows import CancelRequest
from swath.engine.stop import Stop
from swath.errors import Interrupted
from swath.runner.heartbeat import HeartbeatLimits, heartbeat
from tests.engine.conftest import run_row

QUICK = HeartbeatLimits(period_s=0.02, lock_timeout_s=0.05)


def beat_of(journal: Journal) -> float:
    return journal.find("r").heartbeat or 0.0


def wait_until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_the_heart_beats_beside_the_run_and_stops_with_it(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        first = beat_of(journal)
        with heartbeat(tmp_path, "r", Stop(), QUICK):
            wait_until(lambda: beat_of(journal) > first)
            second = beat_of(journal)
            wait_until(lambda: beat_of(journal) > second)
        assert threads() == []


def test_a_locked_journal_costs_beats_but_not_the_run(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
        with heartbeat(tmp_path, "r", Stop(), QUICK):
            other.execute("BEGIN IMMEDIATE")
            before = beat_of(journal)
            time.sleep(5 * QUICK.lock_timeout_s)  # several beats try, and give up
            assert beat_of(journal) == before
            assert len(threads()) == 1
            other.execute("COMMIT")
            wait_until(lambda: beat_of(journal) > before)
        other.close()


def test_a_state_folder_that_is_gone_does_not_end_the_run(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with heartbeat(state, "r", Stop(), QUICK):
        wait_until(state.is_dir)  # a beat has made it
        while not state.is_file():  # a beat may make the folder anew in between
            shutil.rmtree(state, ignore_errors=True)
            with contextlib.suppress(IsADirectoryError):
                state.write_text("a file")
        time.sleep(5 * QUICK.period_s)  # several beats find no journal
        assert len(threads()) == 1


def test_it_hands_on_the_request_to_cancel(tmp_path: Path) -> None:
    stop = Stop()
    with Journal.open(tmp_path) as journal:
        journal.start_run(run_row("r"))
        with heartbeat(tmp_path, "r", stop, QUICK):
            journal.request_cancel("r", CancelRequest("ada@desk", "wrong area", 1.0))
            wait_until(lambda: stop.requested is not None)
    assert isinstance(stop.requested, Interrupted)
    assert stop.requested.message == "cancelled by ada@desk: wrong area"
