"""A run is stopped from another process: here the run is a row of the journal whose process does nothing but wait."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swath.engine.journal import Journal
from swath.engine.process import process_start_s
from swath.errors import StateError, UsageError
from swath.runner.cancel import CancelLimits, cancel
from tests.engine.conftest import run_row

QUICK = CancelLimits(timeout_s=0.3, grace_s=0.3, poll_s=0.01)
POLITE = "import signal; print('up', flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); [signal.pause() for _ in range(9)]"
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path) as journal:
        yield journal


@pytest.fixture
def start(journal: Journal) -> Iterator[Start]:
    """Start a process that is the run `r`."""
    started: list[subprocess.Popen[str]] = []

    def call(code: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        row = run_row("r")
        journal.start_run(dataclasses.replace(row, pid=process.pid, process_started=process_start_s(process.pid)))
        return process

    yield call
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_run_is_asked_and_waited_for(journal: Journal, start: Start) -> None:
    process = start(POLITE)
    said: list[str] = []
    assert cancel(journal, "r", say=said.append).id == "r"
    assert said == [f"asked r to stop (process {process.pid}); waiting for its end"]
    assert process.wait(10) != 0


def test_one_that_does_not_end_is_an_error_and_goes_on(journal: Journal, start: Start) -> None:
    process = start(DEAF)
    with pytest.raises(StateError, match=r"r has not ended after 0\.3 s") as caught:
        cancel(journal, "r", limits=QUICK)
    assert "pipe cancel --now r" in caught.value.remedy
    assert process.poll() is None


def test_with_now_it_is_killed_and_its_end_written_for_it(journal: Journal, start: Start) -> None:
    process = start(DEAF)
    row = cancel(journal, "r", now=True, limits=QUICK)
    assert (row.status, row.exit_code, row.error) == ("interrupted", 130, f"{journal.cancel_request('r')}, at once")
    assert process.wait(10) == -9


def test_what_does_not_run_here_is_not_cancelled(journal: Journal, start: Start) -> None:
    process = start(POLITE)
    process.kill()
    process.wait()
    with pytest.raises(UsageError, match="r is not running: its process is gone"):
        cancel(journal, "r")
    journal.finish_run("r", "done", 0, "", [])
    with pytest.raises(UsageError, match="r is not running: it is done"):
        cancel(journal, "r")


def test_a_run_of_another_host_is_asked_through_the_journal(tmp_path: Path, journal: Journal) -> None:
    journal.start_run(run_row("far", host="elsewhere"))
    with pytest.raises(UsageError, match=r"far runs on elsewhere, .* its process cannot be ended from here"):
        cancel(journal, "far", now=True)
    said: list[str] = []

    def end_when_asked() -> None:
        with Journal.open(tmp_path) as other:
            while other.cancel_request("far") is None:
                time.sleep(0.01)
            other.finish_run("far", "interrupted", 130, str(other.cancel_request("far")), [])

    run = threading.Thread(target=end_when_asked)
    run.start()
    row = cancel(journal, "far", reason="wrong area", say=said.append)
    run.join(10)
    assert said == ["asked far on elsewhere to stop; it reads that within seconds; waiting for its end"]
    assert (row.status, row.error) == ("interrupted", str(journal.cancel_request("far")))
    assert row.error.endswith(": wrong area")


def test_one_in_another_container_of_this_host_gets_no_signal(journal: Journal, start: Start) -> None:
    process = start(POLITE)
    journal.execute("UPDATE runs SET pid_space = 'another boot or pid namespace'")
    with pytest.raises(StateError, match=r"r has not ended after 0\.3 s"):
        cancel(journal, "r", limits=QUICK)
    assert process.poll() is None
