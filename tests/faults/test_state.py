"""State that is full, locked, unreadable, asleep or on the wrong disk: exit 6 before work, or a run that is not lost."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.projects import Mark, check_journal, fill, finished, hashes, held, small_disk, tiles, wait_for
from tests.process import Pipe


def resumed(pipe: Pipe) -> int:
    """Go on with the last run; how many tiles were taken from before."""
    done = pipe("resume", "last", "--json")
    assert (pipe.folder / "out/map/item.json").exists()
    check_journal(pipe)
    return done.count("call_done", node="tile", reused=True)


# --- 17, 18, 19: full disks


def test_a_full_state_disk_is_exit_6_before_any_work(pipe: Pipe) -> None:
    spec = tiles(pipe)
    with small_disk(pipe.folder / ".swath", "32m") as state:
        junk = fill(state, leave=100_000)
        done = pipe("run", spec, code=6)
        assert "is full" in done.err
        assert "Traceback" not in done.err
        assert not (pipe.folder / "out/map").exists()
        junk.unlink()
        pipe("run", spec)


def test_a_state_disk_that_is_full_to_the_last_byte_is_exit_6(pipe: Pipe) -> None:
    with small_disk(pipe.folder / ".swath", "1m") as state:
        fill(state)
        done = pipe("run", tiles(pipe), code=6)
        assert "free some space" in done.err
        assert "Traceback" not in done.err


@pytest.mark.parametrize("kind", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_a_state_disk_that_fills_up_in_the_middle_is_exit_6_and_the_run_resumes(pipe: Pipe, kind: str) -> None:
    spec = tiles(pipe, n=60, cluster=kind)
    with small_disk(pipe.folder / ".swath", "24m") as state:
        mark = Mark()
        done = pipe("run", spec, "--set", f"fill={state}", code=6, env=mark.env)
        assert "full" in done.err or "No space left" in done.err
        assert "Traceback" not in done.err
        mark.check_none_left()
        (state / "junk").unlink()
        with closing(sqlite3.connect(state / "journal.sqlite")) as journal, journal:
            journal.execute("UPDATE runs SET overrides = '[]'")  # or it would fill the disk again
        assert pipe("runs", "--json").out.count('"done"') == 0
        resumed(pipe)


def test_a_full_output_disk_is_exit_1_and_the_old_output_stays(pipe: Pipe) -> None:
    spec = tiles(pipe)
    with small_disk(pipe.folder / "out", "3m") as out:
        pipe("run", spec)
        before = hashes(out / "map")
        fill(out, leave=300_000)
        done = pipe("run", spec, "--set", "seed=1", code=1)
        assert "could not be written" in done.err
        assert "Traceback" not in done.err
        assert hashes(out / "map") == before
        assert sorted(path.name for path in out.iterdir()) == ["junk", "map"]


@pytest.mark.slow
def test_a_full_disk_under_report_and_log_loses_no_run(pipe: Pipe) -> None:
    spec = tiles(pipe)
    with small_disk(pipe.folder / ".swath/runs", "64k") as runs:
        fill(runs)
        done = pipe("run", spec)
        assert "the report could not be written" in done.err
        assert (pipe.folder / "out/map/item.json").exists()
        started = pipe("run", spec, "--set", "seed=1", "--detach", "--json")
        run = json.loads(started.out)["run"]
        pipe("logs", run, "-f")
        assert json.loads(pipe("runs", "show", run, "--json").out)["status"] == "done"


@pytest.mark.slow
def test_a_full_disk_under_the_scratch_folder_of_workers_loses_no_run(pipe: Pipe) -> None:
    spec = tiles(pipe, cluster={"kind": "local", "workers": 1})
    with small_disk(pipe.folder / ".swath/scratch", "64k") as scratch:
        junk = fill(scratch)
        done = pipe("run", spec, code=None)
        assert done.code in (0, 5), done.err
        assert "Traceback" not in done.err
        junk.unlink()
        resumed(pipe)


def test_the_exit_code_of_a_run_survives_a_journal_that_cannot_be_written_at_its_end(pipe: Pipe) -> None:
    """The file size limit stands for a full disk that fills up in the very last moment: it needs no mount."""
    spec = tiles(pipe, n=3)
    code = (
        "import resource, signal, sys; from swath.cli import main\n"
        "def full(*_):\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))\n"
        "signal.signal(signal.SIGUSR1, full)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command, env = [sys.executable, "-c", code, "run", str(spec), "--json"], {"SWATH_CRASH_AT": "ending:USR1"}
    done = subprocess.run(
        command, cwd=pipe.folder, env=pipe.env | env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 6, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == 6
    assert "could not be written down" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "crashed" in pipe("runs").out
    resumed(pipe)


# --- unreadable state


def test_a_file_in_the_place_of_the_state_folder_is_exit_6(pipe: Pipe) -> None:
    (pipe.folder / ".swath").write_text("not a folder")
    done = pipe("run", tiles(pipe), code=6)
    assert "SWATH_HOME" in done.err
    assert "Traceback" not in done.err
    assert not (pipe.folder / "out/map").exists()


@pytest.mark.parametrize("what", ["a folder", "a text"])
def test_a_journal_that_cannot_be_read_is_exit_6_for_every_command(pipe: Pipe, what: str) -> None:
    spec = tiles(pipe)
    journal = pipe.folder / ".swath/journal.sqlite"
    journal.parent.mkdir()
    if what == "a folder":
        journal.mkdir()
    else:
        journal.write_text("this is a letter and not a database" * 100)
    commands = [["run", spec], ["resume", "last"]]
    if what == "a text":
        commands += [["runs"], ["logs", "last"], ["cancel", "last"], ["prune"], ["sweep"]]
    for command in commands:
        done = pipe(*command, code=6)
        assert "journal.sqlite" in done.err
        assert "Traceback" not in done.err


# --- 33: two runs, one output


@pytest.mark.slow
def test_two_runs_with_state_folders_of_their_own_do_not_share_an_output(pipe: Pipe, tmp_path: Path) -> None:
    hold = held(pipe)
    spec = tiles(pipe, hold=str(hold))
    first = pipe.start("run", spec)
    wait_for(lambda: finished(pipe) >= 1)
    second = pipe("run", spec, code=6, env={"SWATH_HOME": str(tmp_path / "other")})
    assert f"process {first.pid} on " in second.err
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    hold.unlink()
    pipe("run", spec, env={"SWATH_HOME": str(tmp_path / "other")})


def test_a_holder_on_another_host_is_named(pipe: Pipe) -> None:
    """On a shared disk the lock of another host looks like that of another process here."""
    spec = tiles(pipe)
    lock = pipe.folder / "out/.map.lock"
    lock.parent.mkdir()
    lock.write_text(json.dumps({"run": "theirs", "host": "elsewhere", "pid": 7}))
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = pipe("run", spec, code=6)
    assert "theirs (process 7 on elsewhere)" in done.err
    pipe("run", spec)


# --- 35: a locked journal


@pytest.mark.slow
def test_a_locked_journal_is_waited_for(pipe: Pipe) -> None:
    spec = tiles(pipe)
    pipe("run", spec)
    with closing(
        sqlite3.connect(pipe.folder / ".swath/journal.sqlite", isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(3, other.execute, ["COMMIT"])
        timer.start()
        pipe("run", spec)
        timer.join()


@pytest.mark.slow
def test_a_journal_that_stays_locked_is_exit_6(pipe: Pipe) -> None:
    spec = tiles(pipe)
    pipe("run", spec)
    with closing(sqlite3.connect(pipe.folder / ".swath/journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        done = pipe("run", spec, code=6)
        assert time.monotonic() - began > 9
    assert "another process has locked it" in done.err
    assert "Traceback" not in done.err


# --- 36: a network file system


def test_a_state_folder_on_a_network_file_system_gets_a_warning_and_no_wal(pipe: Pipe) -> None:
    spec = tiles(pipe)
    mounts = pipe.folder / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:9 / {pipe.folder} rw - nfs4 server:/home rw\n")
    code = (
        "import sys; from pathlib import Path; from swath.engine import disk; from swath.cli import main\n"
        f"disk.MOUNTS = Path({str(mounts)!r})\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, "run", str(spec)]
    done = subprocess.run(
        command, cwd=pipe.folder, env=pipe.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "network file system (nfs4)" in done.stderr
    with closing(sqlite3.connect(pipe.folder / ".swath/journal.sqlite")) as journal:
        assert journal.execute("PRAGMA journal_mode").fetchone() == ("delete",)


# --- 34, 44: clocks and sleep

JUMP = """
import os, time
real = time.time
time.time = lambda: real() + ({shift} if os.path.exists({flag!r}) else 0)
"""


@pytest.mark.parametrize(
    ("kind", "shift"),
    # Not back on a cluster: Dask sends the messages of a batch when the wall clock has passed a moment, so they wait until then.
    [("inline", 86400), ("inline", -86400), pytest.param("local", 86400, marks=pytest.mark.slow)],
)
def test_a_clock_that_jumps_changes_no_duration_retry_or_end(pipe: Pipe, kind: str, shift: int) -> None:
    """The wall clock of every process of the run is moved by a day in its middle."""
    flag = pipe.folder / "jumped"
    (pipe.folder / "clock").mkdir()
    (pipe.folder / "clock/sitecustomize.py").write_text(JUMP.format(shift=shift, flag=str(flag)))
    env = {"PYTHONPATH": f"{pipe.folder / 'clock'}{os.pathsep}{pipe.env['PYTHONPATH']}"}
    hold = held(pipe)
    spec = tiles(pipe, n=12, seconds=0.1, hold=str(hold), flaky=str(pipe.folder), cluster=kind)
    began = time.monotonic()
    process = pipe.start("run", spec, "--json", "--timeout", "5m", env=env)
    wait_for(lambda: finished(pipe) >= 1)
    flag.touch()
    assert '"running"' in pipe("runs", "--json").out
    assert '"running"' in pipe("runs", "--json", env=env).out
    hold.unlink()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    end = json.loads(out.splitlines()[-1])
    assert 0 < end["seconds"] < time.monotonic() - began
    assert sum('"call_retried"' in line for line in out.splitlines()) == 1


def test_a_run_that_is_stopped_goes_on_and_says_how_long_it_has_been_silent(pipe: Pipe) -> None:
    hold = held(pipe)
    process = pipe.start("run", tiles(pipe, hold=str(hold)))
    wait_for(lambda: finished(pipe) >= 1)
    process.send_signal(signal.SIGSTOP)
    try:
        assert "silent" not in pipe("runs").out
        with closing(sqlite3.connect(pipe.folder / ".swath/journal.sqlite")) as journal, journal:
            journal.execute("UPDATE runs SET heartbeat = heartbeat - 100")
        assert re.search(r"running, silent for [12]m \d", pipe("runs").out)
        assert re.search(r"running, silent for [12]m \d", pipe("runs", "show", "last").out)
        refused = pipe("resume", "last", code=6)
        assert "still running" in refused.err
    finally:
        hold.unlink()
        process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err


@pytest.mark.slow
def test_the_heart_of_a_run_beats_while_a_call_holds_the_main_thread(pipe: Pipe) -> None:
    process = pipe.start("run", tiles(pipe, n=1, seconds=13))
    beats = set()
    wait_for(lambda: (pipe.folder / ".swath/journal.sqlite").exists())
    while process.poll() is None:
        # At first the table is not there yet.
        with closing(sqlite3.connect(pipe.folder / ".swath/journal.sqlite")) as journal, suppress(sqlite3.Error):
            beats |= {row[0] for row in journal.execute("SELECT heartbeat FROM runs")}
        time.sleep(0.5)
    process.communicate()
    assert len(beats) >= 3


# --- 45: nobody reads


@pytest.mark.slow
@pytest.mark.parametrize("command", [["logs", "last", "-f"], ["runs", "--watch"]], ids=["logs", "watch"])
def test_a_reader_that_leaves_ends_what_follows_a_run_but_not_the_run(pipe: Pipe, command: list[str]) -> None:
    run = pipe.start("run", tiles(pipe, hold=str(held(pipe))))
    wait_for(lambda: finished(pipe) >= 1)
    following = pipe.start(*command)
    assert following.stdout is not None
    assert following.stderr is not None
    assert following.stdout.readline()
    following.stdout.close()
    assert following.wait(timeout=20) == 0
    assert "Traceback" not in following.stderr.read()
    following.stderr.close()
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=30)
    assert run.returncode == 130
