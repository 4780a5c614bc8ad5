"""`pipe run`, `resume` and `cancel` as processes: streams, exit codes, signals."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Pipe


def started(project: Path, env: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """A run whose first call of `square` has started."""
    command = [sys.executable, "-m", "swath.cli", "run", "squares.yaml", "--json", *words]
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    read_until(process, "call_started")
    return process


def read_until(process: subprocess.Popen[str], event: str) -> None:
    """Read the events of a run up to the next one of that kind of a call of `square`."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == event and json.loads(line)["node"] == "square":
            return
    raise AssertionError(process.communicate())


def test_stdout_has_only_the_outputs_and_progress_is_on_stderr(pipe: Pipe) -> None:
    done = pipe("run", "squares.yaml")
    assert (done.returncode, done.stdout) == (0, "14\n")
    assert "square 0/4" in done.stderr
    assert "square done" in done.stderr
    assert "square[2] inline | squaring 2" in done.stderr
    assert "done in" in done.stderr.splitlines()[-1]


def test_with_json_every_line_of_stdout_is_an_event_even_when_a_task_writes_past_python(pipe: Pipe) -> None:
    done = pipe("run", "squares.yaml", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_done"
    assert events[-1]["exit_code"] == done.returncode == 0
    assert "written past Python" in done.stderr


def test_what_an_earlier_run_finished_is_reused_and_fresh_makes_it_anew(pipe: Pipe) -> None:
    assert "6 calls" in pipe("run", "squares.yaml").stderr
    assert "0 calls, 6 reused" in pipe("run", "squares.yaml").stderr
    assert "6 calls" in pipe("run", "squares.yaml", "--fresh").stderr


def test_a_value_is_overridden_with_set(pipe: Pipe) -> None:
    done = pipe("run", "squares.yaml", "--set", "items=2", "--json")
    totals = [json.loads(line)["total"] for line in done.stdout.splitlines() if '"node_opened"' in line]
    assert 2 in totals


def test_a_failed_task_gives_exit_1_and_its_error_without_a_traceback(pipe: Pipe) -> None:
    done = pipe("run", "squares.yaml", "--set", "bad=2", "--set", "on_error=stop")
    assert done.returncode == 1
    assert "2 is a bad number" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_spec_gives_a_line_per_mistake_a_count_and_exit_2(pipe: Pipe, project: Path) -> None:
    (project / "bad.yaml").write_text("pipeline: squares\nitmes: 3\nwait: soon\non_error: never\n")
    done = pipe("run", "bad.yaml")
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line.split(": ")[0] for line in lines[:3]] == ["bad.yaml:2:1", "bad.yaml:3:7", "bad.yaml:4:11"]
    assert lines[3] == "error: 3 mistakes in the spec; nothing was started"
    assert len(lines) == 4


@pytest.mark.slow
def test_sigint_stops_with_130_names_the_run_to_resume_and_resume_redoes_nothing(
    pipe: Pipe, project: Path, env: dict[str, str]
) -> None:
    process = started(project, env, "--set", "wait=0.4", "--set", "items=6")
    read_until(process, "call_done")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["status"]) == ("run_done", "interrupted")
    assert "pipe resume" in out
    again = pipe("resume", "last", "--json")
    assert again.returncode == 0, again.stderr
    end = json.loads(again.stdout.splitlines()[-1])
    assert end["run"] == last["run"]
    assert end["reused"] >= 2
    assert end["calls"] + end["reused"] == 8


def test_sigterm_stops_with_143(project: Path, env: dict[str, str]) -> None:
    process = started(project, env, "--set", "wait=5")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_cancel_stops_a_run_from_another_process_and_waits_for_its_end(
    pipe: Pipe, project: Path, env: dict[str, str]
) -> None:
    process = started(project, env, "--set", "wait=20")
    assert pipe("runs", "--json").stdout.count('"running"') == 1
    done = pipe("cancel", "last")
    process.communicate(timeout=30)
    assert (done.returncode, process.returncode) == (0, 130)
    assert "interrupted" in done.stderr
    again = pipe("cancel", "last")
    assert again.returncode == 2
    assert "not running: it is interrupted" in again.stderr


def test_cancel_of_a_killed_run_says_that_its_process_is_gone(pipe: Pipe, project: Path, env: dict[str, str]) -> None:
    process = started(project, env, "--set", "wait=20")
    process.kill()
    process.communicate(timeout=30)
    done = pipe("cancel", "last")
    assert done.returncode == 2
    assert "its process is gone" in done.stderr
    assert '"crashed"' in pipe("runs", "--json").stdout


def test_a_reader_that_leaves_does_not_end_the_run(pipe: Pipe, project: Path, env: dict[str, str]) -> None:
    command = [sys.executable, "-m", "swath.cli", "run", "squares.yaml", "--json"]
    process = subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 0, err
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert '"done"' in pipe("runs", "--json").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_stdout_is_told_once_and_the_run_still_ends(pipe: Pipe, project: Path, env: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "swath.cli", "run", "squares.yaml", "--json"]
        done = subprocess.run(
            command, cwd=project, env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr.count("could not be written") == 1
    assert "Traceback" not in done.stderr
    assert '"done"' in pipe("runs", "--json").stdout


def test_the_live_view_draws_on_a_terminal_and_ends_with_the_exit_code(project: Path, env: dict[str, str]) -> None:
    outer, inner = pty.openpty()
    command = [sys.executable, "-m", "swath.cli", "run", "squares.yaml", "--set", "wait=0.2", "--set", "bad=1"]
    process = subprocess.Popen(command, cwd=project, env=env, stdin=inner, stdout=subprocess.PIPE, stderr=inner)
    os.close(inner)
    seen = b""
    while process.poll() is None or select.select([outer], [], [], 0)[0]:
        if select.select([outer], [], [], 0.2)[0]:
            try:
                seen += os.read(outer, 65536)
            except OSError:  # Linux says so when the other end has closed
                break
    os.close(outer)
    assert process.stdout is not None
    process.stdout.close()
    text = seen.decode()
    assert process.wait(timeout=30) in (1, 3)
    assert "\x1b[" in text
    assert "square" in text
    assert "4/4" in text
    assert "1 failed" in text
    assert "squaring 3" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25l" not in text.rpartition("\x1b[?25h")[2]
