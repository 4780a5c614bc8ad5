from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from swath.engine.journal import Journal
from swath.engine.journal_rows import RunRow
from swath.reporting.run_diff import diff_runs
from tests.repositories import commit, git, repository

ROW = RunRow(
    "one", "job", "job", "job.yaml", "pipeline: job\n", (), "inline", "/", "running", 100.0, None, None, "", "host", 1, 1.0, (), {}
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "state") as opened:
        yield opened


def two(one: RunRow = ROW, other: RunRow = ROW) -> tuple[RunRow, RunRow]:
    return replace(one, id="one"), replace(other, id="two")


def test_commits_between_the_runs_are_counted_and_uncommitted_changes_compared(
    journal: Journal, tmp_path: Path
) -> None:
    top = repository(tmp_path / "project", {"a": "1"})
    first = git(top, "rev-parse", "HEAD").strip()
    for _ in range(3):
        commit(top)
    last = git(top, "rev-parse", "HEAD").strip()
    one = replace(ROW, root=str(top), git={"commit": first, "dirty": False})
    other = replace(ROW, root=str(top), git={"commit": last, "dirty": True, "changes": "whole"})
    found = diff_runs(journal, *two(one, other)).code
    assert (found.commits, found.same_changes) == ((0, 3), False)
    assert diff_runs(journal, *two(other, one)).code.commits == (3, 0)
    assert diff_runs(journal, *two(one, one)).code.same_changes is None
    assert diff_runs(journal, *two(replace(one, git={"commit": "0" * 40}), other)).code.commits is None
    assert diff_runs(journal, *two()).code.commits is None
    for run, text in (("one", "+1"), ("two", "+1")):
        file = journal.folder / "runs" / run / "changes.diff"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    assert diff_runs(journal, *two(other, other)).code.same_changes is True
    cut = replace(other, git=other.git | {"changes": "cut"})
    assert diff_runs(journal, *two(cut, cut)).code.same_changes is False


def test_a_run_that_has_not_ended_has_no_time_and_no_ratio(journal: Journal) -> None:
    done = replace(ROW, status="done", finished=102.0)
    found = diff_runs(journal, *two(done, ROW))
    assert (found.seconds, found.ratio) == ((2.0, None), None)
    assert diff_runs(journal, *two(done, replace(done, finished=101.0))).ratio == 0.5
