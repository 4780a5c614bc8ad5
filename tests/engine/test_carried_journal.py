"""A run's journal in an archive: in one state while it is written, of this run only, and believed only when it is whole."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import pytest

from swath.engine.carried_journal import pack, unpack
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow, RunRow
from swath.engine.process import Process
from swath.engine.stored_result import StoredResult
from swath.errors import StateError

RUN, OTHER = "20261129-lake-aaaa", "20261129-sea-bbbb"


def row(run: str, root: Path) -> RunRow:
    process = Process.this()
    return RunRow(
        run, "predict", "lake", "-", "pipeline: predict", (), "inline", str(root), "running", 1.0, None, None, "",
        process.host, process.pid, process.started, (), {}, pid_space=process.pid_space,
    )  # fmt: skip


def call(number: int) -> CallRow:
    return CallRow("tile", number, f"key{number}", "done", 1, "", 1.0, 1.0, "", "")


def add(journal: Journal, run: str, number: int) -> None:
    with journal.transaction():  # a call and its result belong together
        journal.write_calls(run, [call(number)])
        journal.write_results(run, [(f"key{number}", StoredResult(f"{number:032d}", 3, b"abc"))])


def test_an_archive_is_one_state_of_one_run_while_that_is_written(tmp_path: Path) -> None:
    state, begun, stop = tmp_path / "state", threading.Event(), threading.Event()
    with Journal.open(state) as journal:
        journal.start_run(row(OTHER, tmp_path))
        add(journal, OTHER, 1_000_000)
        journal.start_run(row(RUN, tmp_path))
        (state / "runs" / RUN / "machines").mkdir(parents=True)
        (state / "runs" / RUN / "machines" / "console.txt").write_text("booted")

        def write() -> None:
            for number in range(100_000):
                if stop.is_set():
                    return
                add(journal, RUN, number)
                begun.set()

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert begun.wait(60)
            pack(state, RUN, tmp_path / "copy.zip")
        finally:
            stop.set()
            thread.join()
    unpacked = unpack(tmp_path / "copy.zip", tmp_path / "next", RUN, tmp_path / "tree")
    assert unpacked.root == str(tmp_path)
    with Journal.open(tmp_path / "next") as journal:
        (found,) = journal.runs()
        assert (found.id, found.status, found.root) == (RUN, "crashed", str(tmp_path / "tree"))
        keys = [each.key for each in journal.calls(RUN)]
        assert 1 <= unpacked.finished == len(keys) == len(journal.results(keys))
        assert journal.execute("SELECT count(*) FROM results").fetchone() == (unpacked.finished,)
        journal.resume_run(row(RUN, tmp_path / "tree"))  # though the process that it names lives
    assert (tmp_path / "next" / "runs" / RUN / "machines" / "console.txt").read_text() == "booted"
    assert not list((tmp_path / "next").glob(".carried-*"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("../key", "not of a run"), ("run/../../key", "not of a run"), ("/etc/passwd", "not of a run"),
        ("results.key", "not of a run"), ("run/a\\..\\b", "not of a run"), ("journal.sqlite", "twice"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_other_files_is_refused_and_nothing_is_written(tmp_path: Path, name: str, text: str) -> None:
    state = tmp_path / "state"
    with Journal.open(state) as journal:
        journal.start_run(row(RUN, tmp_path))
    pack(state, RUN, tmp_path / "copy.zip")
    with zipfile.ZipFile(tmp_path / "copy.zip", "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(StateError, match=text):
        unpack(tmp_path / "copy.zip", tmp_path / "deep" / "next", RUN, tmp_path)
    assert list((tmp_path / "deep" / "next").iterdir()) == []
    assert not (tmp_path / "deep" / "key").exists()


def test_what_is_no_archive_of_the_run_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Journal.open(state) as journal:
        journal.start_run(row(RUN, tmp_path))
    pack(state, RUN, tmp_path / "copy.zip")
    with pytest.raises(StateError, match="of other runs"):
        unpack(tmp_path / "copy.zip", tmp_path / "next", OTHER, tmp_path)
    whole = (tmp_path / "copy.zip").read_bytes()
    for part in (b"", whole[: len(whole) // 2], whole[:100] + b"\0" * 100 + whole[200:]):
        (tmp_path / "part.zip").write_bytes(part)
        with pytest.raises(StateError, match="damaged"):
            unpack(tmp_path / "part.zip", tmp_path / "next", RUN, tmp_path)
    with pytest.raises(StateError, match="has a journal already"):
        unpack(tmp_path / "copy.zip", state, RUN, tmp_path)
    with pytest.raises(StateError, match="has no run"):
        pack(state, OTHER, tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "newer.zip", "w") as archive, Journal.open(state) as journal:
        journal.execute("PRAGMA user_version = 999")
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        archive.write(state / "journal.sqlite", "journal.sqlite")
    with pytest.raises(StateError, match="newer swath"):
        unpack(tmp_path / "newer.zip", tmp_path / "next", RUN, tmp_path)
    assert not (tmp_path / "next" / "journal.sqlite").exists()
