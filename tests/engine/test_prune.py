"""Pruning of a real journal and a real store: what is old goes, what a kept run needs stays."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swath.engine import journal_schema
from swath.engine.journal import Journal
from swath.engine.journal_rows import CallRow
from swath.engine.prune import remove_results, remove_runs, shrink_journal
from swath.engine.prune_candidates import PruneCandidates, PruneLimits, find_candidates
from swath.engine.store import ResultStore
from swath.engine.store_files import StoreFiles
from swath.engine.stored_result import StoredResult
from swath.errors import StateError
from swath.runner.lock import in_use, unused
from tests.engine.conftest import run_row

DAY = 86400.0
NOW = time.time()
MONTH = PruneLimits(30 * DAY)


class Home:
    """A state folder with runs of any age."""

    def __init__(self, folder: Path, root: str | None = None) -> None:
        self.folder = folder
        self.root = root or str(folder / "results")
        self.journal = Journal.open(folder)
        self.store = ResultStore(self.root)

    def run(
        self, name: str, age_days: float, values: dict[str, object], status: str = "done"
    ) -> dict[str, StoredResult]:
        """A run that ended so many days ago, with a call per value."""
        self.journal.start_run(run_row(name, started=NOW - age_days * DAY - 10))
        stored = {key: self.store.put(value) for key, value in values.items()}
        self.journal.write_calls(
            name, [CallRow("n", i, key, "done", 1, "", NOW, 1.0, "", "") for i, key in enumerate(stored)]
        )
        self.journal.write_results(name, stored.items())
        self.journal.write_log(name, NOW, "info", "a line")
        (self.folder / "runs" / name).mkdir(parents=True)
        (self.folder / "runs" / name / "report.html").write_text("report")
        if status != "running":
            self.journal.finish_run(name, status, 0 if status == "done" else 130, "", [])
        self.sql("UPDATE runs SET finished = ? WHERE id = ? AND status <> 'running'", NOW - age_days * DAY, name)
        self.sql("UPDATE results SET made = ? WHERE run = ?", NOW - age_days * DAY, name)
        return stored

    def sql(self, text: str, *values: object) -> list[tuple[object, ...]]:
        return self.journal.execute(text, values).fetchall()

    def result(self, key: str) -> StoredResult | None:
        return self.journal.results([key]).get(key)

    def files(self) -> set[str]:
        return set(StoreFiles(self.root).files)

    def prune(self, limits: PruneLimits = MONTH) -> PruneCandidates:
        found = find_candidates(self.journal, StoreFiles(self.root), limits, NOW)
        list(remove_runs(self.journal, found.runs))
        alone = functools.partial(unused, self.folder)
        with alone() as free:
            if free:
                store = StoreFiles(self.root)
                again = find_candidates(self.journal, store, PruneLimits(limits.older_than_s), NOW)
                version = self.journal.version()
        if free:
            list(remove_results(self.journal, store, again, alone, version))
        shrink_journal(self.journal, alone)
        return found

    def age(self, digest: str, days: float = 1) -> None:
        os.utime(Path(self.root) / digest[:2] / digest[2:], (NOW - days * DAY,) * 2)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "state")
    yield home
    home.journal.close()


def large(seed: int) -> bytes:
    return bytes([seed]) * 20_000


def test_an_old_run_goes_with_its_folder_lines_and_results_and_a_young_one_stays(home: Home) -> None:
    old = home.run("old", 40, {"a": large(1), "small": 1})
    young = home.run("young", 2, {"b": large(2)})
    found = home.prune()
    assert [run.id for run in found.runs] == ["old"]
    assert found.bytes >= 20_000
    assert [run.id for run in home.journal.runs()] == ["young"]
    assert home.files() == {young["b"].digest}
    assert old["a"].digest not in home.files()
    assert home.result("small") is None
    assert home.journal.logs("old") == []
    assert [path.name for path in (home.folder / "runs").iterdir()] == ["young"]
    assert home.sql("PRAGMA integrity_check") == [("ok",)]


def test_nothing_is_removed_by_looking(home: Home) -> None:
    home.run("old", 40, {"a": large(1)})
    before = home.files()
    assert find_candidates(home.journal, StoreFiles(home.root), MONTH, NOW).results == 1
    assert home.files() == before
    assert home.result("a") is not None


def test_a_result_that_an_old_run_made_and_a_kept_one_reused_stays(home: Home) -> None:
    stored = home.run("old", 40, {"a": large(1)})
    home.run("young", 2, {})
    home.journal.write_calls("young", [CallRow("n", 0, "a", "reused", 0, "", NOW, 0.0, "", "")])
    home.prune()
    assert home.result("a") == stored["a"]
    assert home.files() == {stored["a"].digest}


def test_two_results_with_one_content_share_a_file_that_stays_for_the_kept_one(home: Home) -> None:
    home.run("old", 40, {"a": large(1)})
    young = home.run("young", 2, {"b": large(1)})
    home.prune()
    assert home.result("a") is None
    assert home.files() == {young["b"].digest}


@pytest.mark.parametrize("status", ["interrupted", "terminated", "failed", "partial", "timed out"])
def test_a_run_that_can_be_resumed_stays_until_it_is_old_even_for_the_size(home: Home, status: str) -> None:
    home.run("stopped", 20, {"a": large(1)}, status)
    assert home.prune(PruneLimits(30 * DAY, 0)).runs == ()
    assert home.result("a") is not None
    assert [run.id for run in home.prune(PruneLimits(10 * DAY)).runs] == ["stopped"]


def test_a_run_that_goes_on_is_never_old_and_a_crashed_one_is_by_its_last_beat(home: Home) -> None:
    home.run("going", 90, {"a": large(1)}, "running")
    home.run("crashed", 90, {"b": large(2)}, "running")
    home.sql("UPDATE runs SET heartbeat = ? WHERE id = 'going'", NOW - 90 * DAY)
    home.sql("UPDATE runs SET pid = 1 << 22, heartbeat = ? WHERE id = 'crashed'", NOW - 40 * DAY)
    found = home.prune()
    assert [run.id for run in found.runs] == ["crashed"]
    assert found.open_runs == ("going",)


def test_a_run_with_something_to_sweep_stays(home: Home) -> None:
    home.run("old", 40, {"a": large(1)})
    home.journal.write_lease("old", "partial", "some/folder")
    assert home.prune().runs == ()


def test_for_a_size_the_oldest_done_runs_go_and_no_more_than_needed(home: Home) -> None:
    for age in (1, 2, 3, 4):
        home.run(f"run{age}", age, {f"k{age}": large(age)})
    total = find_candidates(home.journal, StoreFiles(home.root), MONTH, NOW).kept_bytes
    found = home.prune(PruneLimits(30 * DAY, total - 30_000))
    assert [run.id for run in found.runs] == ["run4", "run3"]
    assert found.kept_bytes <= total - 30_000
    assert {run.id for run in home.journal.runs()} == {"run1", "run2"}


def test_a_result_that_two_runs_share_is_free_only_with_the_later_one(home: Home) -> None:
    home.run("first", 4, {"a": large(1)})
    home.run("second", 3, {"b": large(1)})
    home.run("third", 1, {"c": large(3)})
    total = find_candidates(home.journal, StoreFiles(home.root), MONTH, NOW).kept_bytes
    found = find_candidates(home.journal, StoreFiles(home.root), PruneLimits(30 * DAY, total - 15_000), NOW)
    assert [run.id for run in found.runs] == ["first", "second"]


def test_a_page_that_no_row_names_stays_while_a_kept_result_mentions_it(home: Home) -> None:
    """Sequences are kept in pages: files that are named in the result, in a page of pages even, and in no row."""
    leaf, lost = home.store.put(large(1)), home.store.put(large(2))
    index = home.store.put(["x" * 9000, leaf.digest])
    home.run("young", 2, {"sequence": ("pages", [index])})
    for page in (leaf, lost, index):
        home.age(page.digest)
    home.prune()
    assert home.files() == {leaf.digest, index.digest}


def test_a_young_file_that_nothing_names_may_be_just_being_written(home: Home) -> None:
    home.run("young", 2, {})
    fresh = home.store.put(large(1))
    assert home.prune().files == {}
    assert home.files() == {fresh.digest}


def test_temporary_files_of_dead_writers_go(home: Home) -> None:
    home.run("young", 2, {"a": large(1)})
    folder = Path(home.root) / "ab"
    folder.mkdir(exist_ok=True)
    for name, age in (("dead.tmp", 2 * 3600), ("alive.tmp", 5)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (NOW - age,) * 2)
    home.prune()
    assert [path.name for path in folder.glob("*.tmp")] == ["alive.tmp"]


def test_while_a_run_goes_on_old_runs_go_but_no_result_does(home: Home) -> None:
    old = home.run("old", 40, {"a": large(1)})
    with in_use(home.folder):
        home.prune()
        assert home.journal.runs() == []
        assert home.files() == {old["a"].digest}
        assert home.result("a") == old["a"]
    home.prune()
    assert home.files() == set()


def test_when_a_run_came_in_between_results_that_were_listed_stay(home: Home) -> None:
    old = home.run("old", 40, {"a": large(1)})
    found = find_candidates(home.journal, StoreFiles(home.root), MONTH, NOW)
    version = home.journal.version()
    with Journal.open(home.folder) as other:
        other.start_run(run_row("new"))
        other.write_calls("new", [CallRow("n", 0, "a", "reused", 0, "", NOW, 0.0, "", "")])
        other.finish_run("new", "done", 0, "", [])
    alone = functools.partial(unused, home.folder)
    assert list(remove_results(home.journal, StoreFiles(home.root), found, alone, version)) == []
    assert home.result("a") == old["a"]


def test_a_run_that_is_taken_up_again_after_it_was_listed_stays(home: Home) -> None:
    home.run("old", 40, {"a": large(1)}, "interrupted")
    found = find_candidates(home.journal, StoreFiles(home.root), MONTH, NOW)
    with Journal.open(home.folder) as other:
        other.resume_run(run_row("old"))
    assert list(remove_runs(home.journal, found.runs)) == []
    assert home.journal.find("old").status == "running"


def test_an_address_is_pruned_like_a_folder(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    home = Home(tmp_path / "state", "memory://prune/results")
    try:
        home.run("old", 40, {"a": large(1)})
        young = home.run("young", 2, {"b": large(2)})
        assert len(home.files()) == 2
        home.prune()
        assert home.files() == {young["b"].digest}
    finally:
        home.journal.close()
        memory.rm("/prune", recursive=True)


@pytest.mark.parametrize("made_by", ["this version", "an older one"])
def test_the_journal_gives_its_space_back(tmp_path: Path, made_by: str) -> None:
    if made_by == "an older one":
        (tmp_path / "state").mkdir()
        with contextlib.closing(sqlite3.connect(tmp_path / "state/journal.sqlite")) as old:
            old.executescript(journal_schema.MIGRATIONS[0] + "PRAGMA user_version = 1;")
    home = Home(tmp_path / "state")
    home.run("old", 40, {f"k{i}": os.urandom(6000) for i in range(400)})
    home.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    before = (home.folder / "journal.sqlite").stat().st_size
    assert before > 2_000_000
    home.prune()
    assert (home.folder / "journal.sqlite").stat().st_size < 200_000
    assert home.sql("PRAGMA integrity_check") == [("ok",)]
    home.journal.close()


@pytest.mark.parametrize("identity", ["{victim}", "../../victim", "..", "", "a\x1b[31m", "x" * 201])
def test_a_journal_with_an_id_that_is_none_is_refused_and_nothing_outside_is_removed(
    tmp_path: Path, identity: str
) -> None:
    """Such a journal came with an archive: a run's folder has the id's name, and is removed."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").touch()
    home = Home(tmp_path / "state")
    home.run("old", 400, {})
    home.sql("PRAGMA foreign_keys = OFF")
    home.sql("UPDATE runs SET id = ?", identity.format(victim=victim))
    with pytest.raises(StateError, match="the journal has a run with the id"):
        find_candidates(home.journal, StoreFiles(home.root), MONTH, NOW)
    with pytest.raises(StateError, match="the journal has a run with the id"):
        home.journal.runs()
    assert (victim / "precious").exists()
