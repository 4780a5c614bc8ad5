"""A run goes on where another machine's journal ends: whenever that machine is gone, no call in its last copy is made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from swath.agent.carried_state import CarriedState, CarryLimits, project_key
from swath.engine.journal import Journal
from swath.errors import CredentialsError, InfrastructureError, Interrupted, StateError, UsageError
from swath.events import CallDone, Event
from swath.runner.job import Job
from swath.runner.load import load, load_run
from swath.runner.runner import run
from swath.storage.generations import Generation

PIPELINE = """
from swath import Output, Spec, pipeline, task

class Job(Spec):
    output: Output
    calls: str
    n: int = 4

@task
def tile(number, *, calls):
    with open(calls, "a") as file:
        file.write(f"{number}\\n")
    return bytes([number + 1]) * 20000 if number % 2 else number

@task(on_client=True, cache=False)
def write(tiles, *, file):
    with open(file, "w") as out:
        out.write(repr(list(tiles)))
    return file

@pipeline
def job(spec: Job):
    return write(tile.map(list(range(spec.n)), calls=spec.calls), file=spec.output.to)
"""
KEY = project_key("0123456789abcdef" * 2, "lakes")
NEVER = threading.Event()
RUN = "20261129-lake-aaaa"


class Machine:
    """A machine with a disk of its own, and the project where it is on all of them."""

    def __init__(self, disk: Path, results: str, attempt: int, limits: CarryLimits = CarryLimits()) -> None:
        self.root, self.state = disk.parent / "tree", disk / "state"
        (self.root / "pipelines").mkdir(parents=True, exist_ok=True)
        (self.root / "pipelines" / "job.py").write_text(PIPELINE)
        (self.root / "swath.yaml").touch()
        self.results = results
        self.carried = CarriedState(results, KEY, self.state, RUN, attempt, limits)

    def restore(self) -> bool:
        return self.carried.restore(self.root, NEVER)

    def run(self, output: Path, calls: Path, each: object = None) -> None:
        """Run the job; after each call `each` is called."""
        spec = self.root / "job.yaml"
        spec.write_text(f"pipeline: job\ncluster: inline\nname: lake\ncalls: {calls}\noutput: {output}\n")

        def listen(event: Event) -> None:
            if isinstance(event, CallDone) and callable(each):
                each()

        outcome = run(self._with_bucket(load(spec)), run_id=RUN, listeners=[listen])
        assert outcome.status == "done", outcome.error

    def resume(self) -> None:
        with Journal.open(self.state) as journal:
            row = journal.find(RUN)
        with load_run(row, self.state) as job:
            outcome = run(self._with_bucket(job))
        assert outcome.status == "done", outcome.error

    def _with_bucket(self, job: Job) -> Job:
        return replace(
            job, project=replace(job.project, results=self.results)
        )  # a store of this process, for tests only

    def finished(self) -> int:
        with Journal.open(self.state) as journal:
            return sum(1 for call in journal.calls(RUN) if call.node == "tile" and call.state == "done")


@pytest.fixture
def results() -> str:
    return f"memory://bucket-{uuid.uuid4().hex}/results"


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_whenever_a_machine_is_gone_the_next_one_makes_no_call_again_that_is_in_its_last_copy(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    monkeypatch.setattr("swath.agent.carried_state.KEPT", 100)
    first = Machine(tmp_path / "1", results, 1)
    monkeypatch.setenv("SWATH_HOME", str(first.state))
    assert not first.restore()
    first.run(tmp_path / "map", calls, first.carried.copy)
    whole, made = (tmp_path / "map").read_bytes(), len(lines(calls))
    assert made == 4
    copies = first.carried._copies.listed()
    assert len(copies) == 5  # four calls, and the one that writes
    seen = []
    for number, newest in enumerate(copies, 2):
        machine = Machine(tmp_path / str(number), results, 2)
        monkeypatch.setenv("SWATH_HOME", str(machine.state))
        assert machine.restore()
        seen.append(before := machine.finished())
        calls.unlink()
        (tmp_path / "map").unlink()
        machine.resume()
        assert len(lines(calls)) == made - before
        assert (tmp_path / "map").read_bytes() == whole
        fsspec.filesystem("memory").rm(f"{machine.carried.address}/{newest.name}")  # as if it was gone before that
        calls.touch()
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == made > seen[-1]


@pytest.mark.parametrize(("point", "number"), [("packed", 1), ("carried", 2)])
def test_a_process_that_is_killed_around_a_copy_leaves_a_whole_one(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch, point: str, number: int
) -> None:
    first = Machine(tmp_path / "1", results, 1)
    monkeypatch.setenv("SWATH_HOME", str(first.state))
    first.run(tmp_path / "map", tmp_path / "calls")
    bucket = tmp_path / "bucket"  # which processes share
    (bucket / "journals" / RUN).mkdir(parents=True)
    copy = (
        "import sys; from pathlib import Path; from swath.agent.carried_state import CarriedState\n"
        "results, key, state, run = sys.argv[1:]\n"
        "carried = CarriedState(results, bytes.fromhex(key), Path(state), run, 1)\n"
        "carried.copy(); carried.copy()"
    )
    words = [sys.executable, "-c", copy, f"file://{bucket}", KEY.hex(), str(first.state), RUN]
    crash = {"SWATH_CRASH_AT": f"{point}@2"}
    assert subprocess.run(words, env=os.environ | crash, check=False, timeout=100).returncode == -signal.SIGKILL
    second = Machine(tmp_path / "2", f"file://{bucket}", 2)
    assert second.restore()
    assert max(each.number for each in second.carried._copies.listed()) == number
    assert second.finished() == 4


def test_a_machine_that_is_killed_while_it_copies_leaves_the_copy_before(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Machine(tmp_path / "1", results, 1)
    monkeypatch.setenv("SWATH_HOME", str(first.state))
    first.restore()
    first.run(tmp_path / "map", tmp_path / "calls", first.carried.copy)
    newest = first.carried._copies.listed()[0]
    files, path = fsspec.filesystem("memory"), f"{first.carried.address}/{newest.name}"
    for cut in (0, 31, 33, 1000):
        files.pipe_file(path, files.cat_file(path)[:cut])
        second = Machine(tmp_path / f"cut {cut}", results, 2)
        assert second.restore()
        assert "1 newer copies were not whole" in second.carried.note
    for each in first.carried._copies.listed():
        files.pipe_file(f"{first.carried.address}/{each.name}", b"nothing")
    third = Machine(tmp_path / "3", results, 2)
    assert not third.restore()
    assert "none of the 4 copies" in third.carried.note
    second.carried.copy()
    assert third.carried.restore(tmp_path / "elsewhere", NEVER)
    assert "so they are made again" in third.carried.note


def test_an_attempt_that_was_given_up_changes_nothing_and_does_not_begin_again(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Machine(tmp_path / str(number), results, number) for number in (1, 2))
    monkeypatch.setenv("SWATH_HOME", str(first.state))
    first.restore()
    first.run(tmp_path / "map", tmp_path / "calls")
    first.carried.copy()
    second.restore()
    second.carried.copy()
    for _ in range(5):
        first.carried.copy()  # it does not know yet
    assert second.carried._copies.listed()[0] == Generation(2, 1)
    with pytest.raises(StateError, match=r"attempt 2 of .* has gone on"):
        Machine(tmp_path / "again", results, 1).restore()


def test_a_bucket_that_does_not_answer_is_waited_for_and_is_never_taken_for_an_empty_one(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "1", results, 1, CarryLimits(restore_s=1))

    def refuse(error: Exception) -> None:
        def fail(*words: object, **named: object) -> None:
            raise error

        monkeypatch.setattr("swath.agent.carried_state.Generations.listed", fail)

    refuse(InfrastructureError("away"))
    with pytest.raises(InfrastructureError, match="away"):
        machine.restore()
    stop = threading.Event()
    stop.set()
    patient = CarriedState(results, KEY, machine.state, RUN, 1)
    with pytest.raises(Interrupted):
        patient.restore(machine.root, stop)
    refuse(CredentialsError("not allowed"))
    with pytest.raises(CredentialsError, match="not allowed"):
        machine.restore()


def test_copies_are_made_by_the_clock_at_once_when_the_machine_is_about_to_end_and_at_the_end(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "1", results, 1, CarryLimits(every_s=3600))
    monkeypatch.setenv("SWATH_HOME", str(machine.state))
    machine.restore()
    machine.run(tmp_path / "map", tmp_path / "calls")
    machine.carried.start()
    assert machine.carried._copies.listed() == []
    machine.carried.hurry()
    until = time.monotonic() + 60
    while not machine.carried._copies.listed():
        assert time.monotonic() < until
        time.sleep(0.02)
    machine.carried.finish()
    assert machine.carried._copies.listed()[0] == Generation(1, 2)
    often = CarriedState(results, KEY, machine.state, RUN, 2, CarryLimits(every_s=0.01))
    often.start()
    while often._copies.listed()[0] < Generation(2, 3):
        assert time.monotonic() < until
        time.sleep(0.02)
    often.finish()


def test_copies_that_fail_are_told_once_in_the_run_s_log_and_the_run_goes_on(
    tmp_path: Path, results: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path / "1", results, 1)
    monkeypatch.setenv("SWATH_HOME", str(machine.state))
    machine.restore()
    machine.run(tmp_path / "map", tmp_path / "calls")
    with monkeypatch.context() as patch:
        patch.setattr("swath.storage.generations.Generations.add", lambda *words: _refuse())
        machine.carried._try()
        machine.carried._try()
    machine.carried._try()
    machine.carried._try()
    with Journal.open(machine.state) as journal:
        told = [line.text for line in journal.logs(RUN) if "carried" in line.text]
    assert len(told) == 2
    assert told[0].endswith("now: the bucket is full")
    assert told[1].endswith("again")


def _refuse() -> None:
    raise StateError("the bucket is full")


def test_keys_are_of_one_project_and_one_secret_and_a_short_secret_is_refused() -> None:
    secret = "0123456789abcdef" * 2
    assert len({project_key(secret, "lakes"), project_key(secret, "seas"), project_key(secret[::-1], "lakes")}) == 3
    assert project_key(f"{secret}\n", "lakes") == KEY
    with pytest.raises(UsageError, match="openssl rand"):
        project_key("short", "lakes")
