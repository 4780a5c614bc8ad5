"""Runs that are watched, followed, limited, detached and pruned, as processes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.faults.projects import check_journal, finished, hashes, held, tiles, wait_for
from tests.process import Pipe
from tests.waiting import until

BAD = '''
from swath import Spec, pipeline, task

class Bad(Spec):
    n: int = 4

@task(retries=1, retry_delay_s=0.1)
def check(number):
    print("looking at", number)
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number

@task
def add(values):
    return sum(values)

@pipeline
def bad(spec: Bad):
    """Half of it fails."""
    return add(check.map(range(spec.n)))
'''


def status(pipe: Pipe, run: str = "last") -> str:
    return str(json.loads(pipe("runs", "show", run, "--json").out)["status"])


# --- time limits


@pytest.mark.slow
def test_a_run_past_its_time_limit_is_stopped_told_and_resumed(pipe: Pipe) -> None:
    hold = held(pipe)
    spec = tiles(pipe, hold=str(hold))
    done = pipe("run", spec, "--timeout", "2s", code=1)
    assert "error: the run took longer than its time limit of 2 s" in done.err
    assert "pipe resume " in done.err
    assert status(pipe) == "timed out"
    assert "pipe resume" in pipe("runs", "show", "last").err
    kept = finished(pipe)
    assert kept <= 2
    hold.unlink()
    resumed = pipe("resume", "last", "--json", "--timeout", "5m")
    assert resumed.count("call_done", node="tile", reused=True) >= kept


def test_a_time_limit_that_is_none_is_refused_before_anything_starts(pipe: Pipe) -> None:
    done = pipe("run", tiles(pipe), "--timeout", "soon", code=2)
    assert "--timeout 'soon' is not a duration" in done.err
    assert not (pipe.folder / ".swath/journal.sqlite").exists()


# --- detached runs


def test_a_detached_run_outlives_its_shell_and_is_followed_and_publishes(pipe: Pipe) -> None:
    hold = held(pipe)
    spec = tiles(pipe, n=8, hold=str(hold))
    started = pipe("run", spec, "--detach", start_new_session=True)
    run = started.out.strip()
    row = json.loads(pipe("runs", "show", run, "--json").out)
    assert row["status"] == "running"
    process = psutil.Process(row["pid"])
    assert os.getsid(row["pid"]) == row["pid"]  # no SIGHUP of a terminal reaches it
    hold.unlink()
    followed = pipe("logs", run, "-f")
    assert "tile 0/8" in followed.out  # as on a terminal, not the lines of the journal
    assert followed.out.splitlines()[-1].startswith(str(pipe.folder / "out/map"))  # the late lines too
    assert pipe("logs", run).out.count("tile") >= 8
    assert status(pipe, run) == "done"
    psutil.wait_procs([process], timeout=20)
    assert (pipe.folder / "out/map/item.json").exists()
    log = (pipe.folder / ".swath/runs" / run / "output.log").read_text()
    assert "tile 0/8" in log
    assert str(pipe.folder / "out/map/item.json") in log
    assert "\x1b" not in log


@pytest.mark.slow
def test_a_detached_run_is_told_as_json_cancelled_and_resumed_detached(pipe: Pipe) -> None:
    hold = held(pipe)
    told = json.loads(pipe("run", tiles(pipe, hold=str(hold)), "--detach", "--json").out)
    assert psutil.pid_exists(told["pid"])
    wait_for(lambda: finished(pipe) >= 1)
    cancelled = pipe("cancel", told["run"], "--reason", "wrong area")
    assert "interrupted" in cancelled.err
    error = json.loads(pipe("runs", "show", told["run"], "--json").out)["error"]
    assert error.startswith("cancelled by ")
    assert error.endswith(": wrong area")
    psutil.wait_procs([psutil.Process(told["pid"])] if psutil.pid_exists(told["pid"]) else [], timeout=20)
    hold.unlink()
    again = json.loads(pipe("resume", told["run"], "--detach", "--json").out)
    assert again["run"] == told["run"]
    pipe("logs", told["run"], "-f")
    assert status(pipe, told["run"]) == "done"
    check_journal(pipe)


@pytest.mark.slow
def test_a_detached_run_that_cannot_start_is_told_in_the_foreground(pipe: Pipe) -> None:
    hold = held(pipe)
    spec = tiles(pipe, hold=str(hold))
    wrong = pipe("run", spec, "--detach", "--set", "tiels=3", code=2)
    assert "unknown" in wrong.err
    assert wrong.out == ""
    first = pipe.start("run", spec)
    wait_for(lambda: finished(pipe) >= 1)
    second = pipe("run", spec, "--detach", code=6)
    assert f"process {first.pid}" in second.err
    assert second.out == ""
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert len(list((pipe.folder / ".swath/runs").iterdir())) == 1
    assert len(json.loads(pipe("runs", "--json").out)) == 1


# --- following


@pytest.mark.slow
def test_a_run_that_is_killed_ends_what_follows_it(pipe: Pipe) -> None:
    run = pipe.start("run", tiles(pipe, hold=str(held(pipe))))
    wait_for(lambda: finished(pipe) >= 1)
    following = pipe.start("logs", "last", "-f", "--node", "tile")
    assert following.stdout is not None
    assert "tile" in following.stdout.readline()
    run.kill()
    run.communicate()
    _, err = following.communicate(timeout=30)
    assert following.returncode == 0
    assert err == ""
    assert status(pipe) == "crashed"


@pytest.mark.slow
def test_failed_calls_come_one_after_the_other_with_their_lines_error_and_traceback(pipe: Pipe) -> None:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines/bad.py").write_text(BAD)
    spec = pipe.folder / "bad.yaml"
    spec.write_text("pipeline: bad\ncluster: inline\n")
    pipe("run", spec, code=None)
    lines = pipe("logs", "last", "--failed").out
    assert "looking at 0" not in lines
    places = [re.findall(r"check\[(\d)\]", line)[0] for line in lines.splitlines() if "check[" in line]
    assert sorted(places, key=places.index) == places  # all of one, then all of the other
    assert lines.index("looking at 1") < lines.index("failed for good in attempt 2: ValueError: 1 is odd")
    assert lines.count("attempt 1 failed, again in") == 2
    assert "failed for good in attempt 2: " in lines
    assert "Traceback" in lines
    assert 'raise ValueError(f"{number} is odd")' in lines
    assert pipe("logs", "last", "--failed", "--node", "add").out == ""
    assert pipe("logs", "last", "--level", "error").out.count("failed for good") == 2
    plain = [json.loads(line) for line in pipe("logs", "last", "--failed", "--json", "-f").out.splitlines()]
    assert {(line["node"], line["item"]) for line in plain} == {("check", 1), ("check", 3)}


# --- watching


def test_off_a_terminal_watching_tells_a_line_per_change_and_ctrl_c_is_its_end(pipe: Pipe) -> None:
    watching = pipe.start("runs", "--watch")
    assert watching.stdout is not None
    pipe("run", tiles(pipe))
    seen = watching.stdout.readline()
    while " done: " not in seen:
        seen += watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    rest, err = watching.communicate(timeout=15)
    assert watching.returncode == 0, err
    assert "Traceback" not in err
    assert "7 calls" in seen + rest


@pytest.mark.slow
def test_on_a_terminal_watching_draws_a_table_until_ctrl_c(pipe: Pipe) -> None:
    pipe("run", tiles(pipe))
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "swath.cli", "runs", "--watch"],
        cwd=pipe.folder, env=pipe.env | {"TERM": "xterm-256color"}, stdin=inner, stdout=inner, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(inner)
    seen = b""
    while b"FAILED" not in seen and select.select([outer], [], [], 20)[0]:
        seen += os.read(outer, 65536)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=15)
    os.close(outer)
    assert process.returncode == 0, err
    assert b"done" in seen
    assert b"Traceback" not in err


# --- pruning


def age(pipe: Pipe, days: float) -> None:
    with closing(sqlite3.connect(pipe.folder / ".swath/journal.sqlite")) as journal, journal:
        journal.execute("UPDATE runs SET started = started - ?, finished = finished - ?", (days * 86400,) * 2)
        journal.execute("UPDATE results SET made = made - ?", (days * 86400,))


def store(pipe: Pipe) -> list[Path]:
    return [path for path in (pipe.folder / ".swath/results").rglob("*") if path.is_file()]


def test_pruning_lists_first_and_removes_when_told(pipe: Pipe) -> None:
    spec = tiles(pipe)
    pipe("run", spec)
    published = hashes(pipe.folder / "out/map")
    nothing = pipe("prune")
    assert nothing.out == ""
    assert "no run is old enough" in nothing.err
    age(pipe, 40)
    listed = pipe("prune")
    assert listed.out.splitlines()[0].split() == ["RUN", "STATUS", "ENDED", "FOLDER"]
    assert "pipe prune --yes" in listed.err
    assert len(store(pipe)) == 6
    done = json.loads(pipe("prune", "--yes", "--json").out)
    assert [run["removed"] for run in done["runs"]] == [True]
    assert done["freed_bytes"] > 6 * 20_000
    assert store(pipe) == []
    assert pipe("runs", "--json").out == "[]\n"
    assert hashes(pipe.folder / "out/map") == published  # what was published is the user's
    pipe("run", spec)


def test_pruning_while_a_run_reuses_what_is_old_takes_nothing_from_it(pipe: Pipe) -> None:
    spec = tiles(pipe)
    pipe("run", spec)
    age(pipe, 40)
    running = pipe.start("run", spec, "--set", "seconds=0", "--set", "n=60", "--set", "output.to=out/b", "--json")
    codes = []
    while running.poll() is None:
        codes.append(pipe("prune", "--yes").code)
    _, err = running.communicate()
    assert running.returncode == 0, err
    assert set(codes) == {0}
    assert (pipe.folder / "out/b/tile59.bin").exists()
    check_journal(pipe)


def test_what_cannot_be_pruned_is_a_usage_error(pipe: Pipe) -> None:
    assert "--max-size 'lots' is not a size" in pipe("prune", "--max-size", "lots", code=2).err
    assert "no runs here" in pipe("prune").err


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--older-than", "1s"], ["--max-size", "0"]])
def test_a_stopped_run_can_be_pruned_only_when_it_is_old(pipe: Pipe, words: list[str]) -> None:
    hold = held(pipe)
    pipe("run", tiles(pipe, hold=str(hold)), "--timeout", "2s", code=1)
    hold.unlink()
    kept = finished(pipe)
    time.sleep(1.1)
    gone = json.loads(pipe("prune", *words, "--yes", "--json").out)["runs"]
    assert len(gone) == (words[0] == "--older-than")
    if not gone:
        assert pipe("resume", "last", "--json").count("call_done", node="tile", reused=True) >= kept


LIGHT = """
import time
from pathlib import Path

from swath import Spec, pipeline, task

class Light(Spec):
    n: int = 40

@task(light=True)
def count(number):
    with open("executed.txt", "a") as file:
        file.write(f"{number}\\n")
    time.sleep(0.1)
    return number

@task(light=True)
def add(values):
    return sum(values)

@pipeline
def light(spec: Light):
    return add(count.map(range(spec.n)))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_before_it_has_workers_goes_on_where_it_was(pipe: Pipe) -> None:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines/light.py").write_text(LIGHT)
    (pipe.folder / "light.yaml").write_text("pipeline: light\n")
    executed = pipe.folder / "executed.txt"
    process = pipe.start("run", "light.yaml")
    try:
        until(lambda: executed.exists() and executed.read_text().count("\n") >= 8)
    finally:
        process.kill()
        process.communicate()
    done = pipe("resume", "last", timeout=300)
    assert done.out.split() == [str(sum(range(40)))], done.err
    numbers = executed.read_text().split()
    assert set(numbers) == set(map(str, range(40)))
    assert len(numbers) < 2 * 40  # what was in the journal before the kill was not executed again
