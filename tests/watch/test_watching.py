"""`pipe watch` as a process: it starts runs, and what was due or found gets one run, whatever is killed when."""

from __future__ import annotations

import calendar
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.process import Pipe
from tests.waiting import until
from tests.watch.projects import lines, marking

FILES = "  new: {sensor: files, paths: 'in/*', quiet: 0, every: 1s, existing: run, spec: mark.yaml, set: {word: '${found:name}'}}"


def put(pipe: Pipe, *names: str) -> None:
    (pipe.folder / "in").mkdir(exist_ok=True)
    for name in names:
        (pipe.folder / "in" / name).touch()


@pytest.mark.slow
def test_each_file_gets_one_run_whenever_the_watching_process_is_killed(pipe: Pipe) -> None:
    marking(pipe, FILES)
    put(pipe, "one", "two")
    for point in ("firing", "fired", "begun", "forked", "forked@2"):
        done = pipe("watch", "--once", code=None, env={"SWATH_CRASH_AT": point})
        assert done.code in (-signal.SIGKILL, 0), done.err
        put(pipe, f"after-{point}")
    pipe("watch", "--once")
    pipe("watch", "--once")
    names = ["one", "two", "after-firing", "after-fired", "after-begun", "after-forked", "after-forked@2"]
    assert Counter(lines(pipe.folder)) == Counter(names)
    runs = json.loads(pipe("runs", "--json").out)
    assert len(runs) == len(names)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_lost_or_doubled_by_kills_at_random_moments(pipe: Pipe) -> None:
    marking(pipe, FILES + "\n  tick: {every: 5s, missed: all, spec: mark.yaml, set: {word: '${trigger:due}'}}")
    dice, began = random.Random(7), time.time()
    for number in range(10):
        put(pipe, f"file-{number}")
        process = pipe.start(
            "watch", "--runs", "2", env={"SWATH_CRASH_AT": f"{dice.choice(['fired', 'begun', 'forked'])}@2"}
        )
        try:
            process.wait(dice.uniform(1.5, 4))
        except Exception:  # noqa: BLE001 - it was not at the point yet
            process.kill()
        process.communicate()
    pipe("watch", "--once", "--runs", "2", timeout=300)
    found = lines(pipe.folder)
    assert Counter(found).most_common(1)[0][1] == 1
    assert {f"file-{number}" for number in range(10)} <= set(found)
    ticks = sorted(line for line in found if line.startswith("20"))
    moments = [calendar.timegm(time.strptime(tick, "%Y-%m-%dT%H:%M:%SZ")) for tick in ticks]
    assert {after - before for before, after in itertools.pairwise(moments)} <= {5.0}, ticks
    assert len(ticks) >= 2, f"{time.time() - began} s"


def test_runs_go_on_when_the_watching_process_ends_and_the_next_one_sees_their_end(pipe: Pipe) -> None:
    marking(pipe, FILES.replace("}}", ", hold: hold}}"))
    put(pipe, "one")
    (pipe.folder / "hold").touch()
    first = pipe.start("watch")
    until(lambda: lines(pipe.folder) == ["one"])
    first.send_signal(signal.SIGINT)
    _, told = first.communicate(timeout=30)
    assert first.returncode == 0, told
    second = pipe.start("watch", "--once")
    until(lambda: (pipe.folder / ".swath/triggers.lock").exists())
    (pipe.folder / "hold").unlink()
    _, told = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "done" in told
    assert lines(pipe.folder) == ["one"]


def test_a_second_process_on_one_project_is_refused(pipe: Pipe) -> None:
    marking(pipe, FILES)
    first = pipe.start("watch")
    until(lambda: (pipe.folder / ".swath/triggers.sqlite").exists())
    done = pipe("watch", code=6)
    assert f"process {first.pid}" in done.err
    first.terminate()
    first.communicate(timeout=30)
    assert first.returncode == 0


def test_a_run_that_is_replaced_is_stopped(pipe: Pipe) -> None:
    marking(pipe, FILES.replace("set:", "overlap: replace, set:").replace("}}", ", hold: hold}}"))
    (pipe.folder / "hold").touch()
    put(pipe, "one")
    process = pipe.start("watch")
    until(lambda: lines(pipe.folder) == ["one"])
    put(pipe, "two")
    until(lambda: lines(pipe.folder) == ["one", "two"])
    (pipe.folder / "hold").unlink()
    until(lambda: [run["status"] for run in json.loads(pipe("runs", "--json").out)] == ["done", "interrupted"])
    process.terminate()
    process.communicate(timeout=30)


def test_a_spec_that_is_wrong_is_told_with_its_mistake(pipe: Pipe) -> None:
    marking(pipe, FILES.replace("word:", "wrod:"))
    put(pipe, "one")
    done = pipe("watch", "--once")
    assert "did you mean 'word'" in done.err
    shown = json.loads(pipe("trigger", "show", "new", "--json").out)
    assert shown["runs"][0]["status"] == "refused"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("forever", "took longer than 3.0 s"),
        ("noisy", "File too large"),
        ("unmarked", "is no function that is marked"),
        ("gone", "is no function"),
    ],
)
def test_a_sensor_that_misbehaves_is_ended_and_told(pipe: Pipe, function: str, words: str) -> None:
    marking(pipe, f"  own: {{sensor: python, function: 'mark:{function}', limit: 3s, spec: mark.yaml}}")
    done = pipe("watch", "--once", cold=True, timeout=60)
    assert words in done.err, done.err
    shown = json.loads(pipe("trigger", "show", "own", "--json").out)
    assert shown["ticks"][0]["outcome"] == "failed"
    if function == "forever":
        child = int((pipe.folder / "child.pid").read_text())
        until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_function_of_the_project_is_a_sensor(pipe: Pipe) -> None:
    marking(
        pipe,
        "  own: {sensor: python, function: 'mark:numbers', options: {most: 2}, spec: mark.yaml, set: {word: '${found:key}'}}",
    )
    for _ in range(4):
        pipe("trigger", "fire", "own")
        pipe("watch", "--once")
    assert lines(pipe.folder) == ["n0", "n1"]


def test_a_project_that_is_not_trusted_is_not_watched(pipe: Pipe) -> None:
    marking(pipe, FILES)
    del pipe.env["SWATH_TRUST"]
    assert "pipe trust" in pipe("watch", "--once", code=2).err


def test_a_project_without_triggers_is_refused(pipe: Pipe) -> None:
    pipe.env["SWATH_TRUST"] = "1"
    assert "has no triggers" in pipe("watch", code=2).err


def test_secrets_of_the_environment_are_in_no_stored_value(pipe: Pipe, tmp_path: Path) -> None:
    marking(pipe, FILES.replace("'${found:name}'", "'$${env:CANARY}'"))
    put(pipe, "one")
    pipe("watch", "--once", env={"CANARY": "canary-7f3a"})
    assert lines(pipe.folder) == ["canary-7f3a"]
    stored = b"".join(file.read_bytes() for file in (pipe.folder / ".swath").glob("triggers.sqlite*"))
    assert b"canary-7f3a" not in stored
    assert os.environ.get("CANARY") is None
