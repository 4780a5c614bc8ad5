"""Stored results that are damaged between two runs: their calls are executed again, and the output is the same bytes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from swath.cli.commands.doctor import print_checked_results
from swath.engine.journal import Journal
from swath.events import CallDone, Event, Log
from swath.project.project import Project
from swath.runner.load import load, load_run
from swath.runner.outcome import RunOutcome
from swath.runner.runner import run

PIPELINE = """
import os
from swath import Output, Spec, pipeline, task

class Job(Spec):
    output: Output
    n: int = 3

@task
def large(number):
    return bytes([number + 1]) * 20000

@task
def small(data):
    return sum(data)

@task
def listed(data):
    return list(map(len, data))

@task(on_client=True, cache=False)
def write(data, sums, lengths, *, file):
    if os.path.exists(file + ".stop"):
        raise RuntimeError("stopped here")
    with open(file, "wb") as out:
        out.write(b"".join(data))
        out.write(repr((list(sums), lengths)).encode())
    return file

@pipeline
def job(spec: Job):
    data = large.map(range(spec.n))
    return write(data, small.map(data), listed(data), file=spec.output.to)
"""
EXPECTED = b"".join(bytes([n]) * 20000 for n in (1, 2, 3)) + b"([20000, 40000, 60000], [20000, 20000, 20000])"


class Bench:
    """A project whose first run has failed in its last call."""

    def __init__(self, folder: Path, cluster: str) -> None:
        self.folder = folder
        (folder / "pipelines").mkdir(parents=True)
        (folder / "pipelines" / "job.py").write_text(PIPELINE)
        (folder / "swath.yaml").write_text("")
        self.spec = folder / "spec.yaml"
        self.spec.write_text(f"pipeline: job\noutput: {folder / 'out.bin'}\ncluster: {cluster}\n")
        self.state = Project.find(folder).state
        self.events: list[Event] = []
        self.output = folder / "out.bin"
        stop = folder / "out.bin.stop"
        stop.touch()
        self.first = self.run().run
        stop.unlink()
        assert not self.output.exists()

    @property
    def files(self) -> list[Path]:
        return sorted(file for file in (self.state / "results").glob("*/*") if file.stat().st_size > 10000)

    def run(self, **options: Any) -> RunOutcome:
        self.events.clear()
        return run(load(self.spec), listeners=[self.events.append], **options)

    def resume(self) -> RunOutcome:
        self.events.clear()
        with Journal.open(self.state) as journal:
            row = journal.find(self.first)
        with load_run(row, self.state) as job:
            return run(job, listeners=[self.events.append])

    @property
    def warnings(self) -> list[str]:
        found = (event.text for event in self.events if isinstance(event, Log) and event.level == "warning")
        return [text for text in found if "damaged" in text]


def flip(bench: Bench) -> None:
    data = bytearray(bench.files[0].read_bytes())
    data[len(data) // 2] ^= 0x55
    bench.files[0].write_bytes(data)


def zeros(bench: Bench) -> None:
    for file in bench.files:
        file.write_bytes(bytes(file.stat().st_size))


def truncate(bench: Bench) -> None:
    bench.files[0].write_bytes(bench.files[0].read_bytes()[:-100])


def empty(bench: Bench) -> None:
    bench.files[0].write_bytes(b"")


def swap(bench: Bench) -> None:
    first, second = bench.files[:2]
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def remove(bench: Bench) -> None:
    bench.files[0].unlink()


def inline(bench: Bench) -> None:
    """A bit of each small result."""
    with closing(sqlite3.connect(bench.state / "journal.sqlite")) as connection:
        rows = connection.execute("SELECT key, data FROM results WHERE data IS NOT NULL").fetchall()
        assert rows
        for key, data in rows:
            changed = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
            connection.execute("UPDATE results SET data = ? WHERE key = ?", (changed, key))
        connection.commit()


def key(bench: Bench) -> None:
    """The key of the signatures: no result fits any more."""
    (bench.state / "results.key").write_bytes(b"short")


def rows(bench: Bench) -> None:
    """Two rows of the journal name each other's results, which fit their own signatures."""
    with closing(sqlite3.connect(bench.state / "journal.sqlite")) as connection:
        found = connection.execute(
            "SELECT key, digest, size FROM results WHERE data IS NULL ORDER BY key LIMIT 2"
        ).fetchall()
        for (key, _, _), (_, digest, size) in zip(found, found[::-1], strict=True):
            connection.execute("UPDATE results SET digest = ?, size = ? WHERE key = ?", (digest, size, key))
        connection.commit()


SEEN_BY_SIZE = (truncate, empty, remove)
DAMAGES = (flip, zeros, swap, inline, rows, key, *SEEN_BY_SIZE)


@pytest.mark.parametrize("way", ["resume", "run", "fresh"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_output_is_that_of_an_undisturbed_run(damage: Callable[[Bench], None], way: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "project", "inline")
    damage(bench)
    outcome = bench.resume() if way == "resume" else bench.run(fresh=way == "fresh")
    assert (outcome.status, outcome.exit_code, outcome.error) == ("done", 0, "")
    assert bench.output.read_bytes() == EXPECTED
    silent = way == "fresh" or damage in SEEN_BY_SIZE
    assert len(bench.warnings) == (0 if silent else 1), bench.warnings
    bench.output.unlink()
    again = bench.run()
    assert again.status == "done"
    assert not bench.warnings
    assert bench.output.read_bytes() == EXPECTED
    executed = [event.node for event in bench.events if isinstance(event, CallDone) and not event.reused]
    assert executed == ["write"]


@pytest.mark.parametrize("damage", [flip, zeros, swap, remove])
def test_workers_that_read_a_damaged_argument_get_it_again(damage: Callable[[Bench], None], tmp_path: Path) -> None:
    bench = Bench(tmp_path / "project", "{kind: local, workers: 1}")
    damage(bench)
    with closing(sqlite3.connect(bench.state / "journal.sqlite")) as connection:
        connection.execute(
            "DELETE FROM results WHERE data IS NOT NULL"
        )  # so that workers read the arguments of those calls
        connection.commit()
    outcome = bench.resume()
    assert (outcome.status, outcome.error) == ("done", "")
    assert bench.output.read_bytes() == EXPECTED
    assert len(bench.warnings) == (damage is not remove)


@pytest.mark.parametrize("damage", [flip, zeros, swap, inline, rows, remove])
def test_the_doctor_finds_and_removes_what_does_not_fit(
    damage: Callable[[Bench], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path / "project", "inline")
    monkeypatch.chdir(bench.folder)
    assert print_checked_results(None, None, [], as_json=False) == 0
    assert capsys.readouterr().out == (
        "ok    results      3 files (60.1 kB) and 4 rows of the journal are as they were written\n"
    )
    damage(bench)
    assert print_checked_results(None, None, [], as_json=True) == 6
    found = json.loads(capsys.readouterr().out)
    assert (found["files"], found["rows"]) == (3, 4)
    damaged = {flip: 1, zeros: 3, swap: 2, inline: 4, rows: 2, remove: 1}[damage]
    assert len(found["damaged"]) == damaged
    assert print_checked_results(None, None, [], as_json=False) == 0
    assert bench.resume().status == "done"
    assert not bench.warnings
    assert bench.output.read_bytes() == EXPECTED
    assert sum(isinstance(event, CallDone) and not event.reused for event in bench.events) == damaged + 1
    assert print_checked_results(None, None, [], as_json=False) == 0


def test_a_store_that_never_gives_back_what_was_written_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "project", "inline")
    monkeypatch.setattr(Path, "read_bytes", _changed(Path.read_bytes))
    outcome = bench.run(fresh=True)
    assert (outcome.status, outcome.exit_code) == ("failed", 6)
    assert "a stored result is damaged" in outcome.error
    assert "its signature does not fit" in outcome.error


def _changed(read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    return lambda path: read(path)[:-1] + b"x" if path.parent.parent.name == "results" else read(path)
