"""A state folder of swath 0.1 opens: its runs are listed, shown, compared, resumed and pruned, and new runs go beside them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from swath.engine.journal import Journal
from tests.process import Pipe

DUMP = Path(__file__).parent / "state_0_1" / "journal.sql"
FIRST, SECOND = "20250115-184023-hello-4b25", "20250115-184024-again-2625"


@pytest.fixture
def old(pipe: Pipe) -> Pipe:
    """The project that the runs were made in, at another place."""
    pipe("init", pipe.folder / "p")
    pipe.folder /= "p"
    state = pipe.folder / ".swath"
    for run in (FIRST, SECOND):
        (state / "runs" / run).mkdir(parents=True)
        (state / "runs" / run / "report.json").write_text("{}")
    with closing(sqlite3.connect(state / "journal.sqlite")) as connection:
        connection.executescript(DUMP.read_text())
    return pipe


def test_it_is_brought_to_the_newest_version_with_nothing_lost(old: Pipe) -> None:
    with Journal.open(old.folder / ".swath") as journal:
        rows = journal.runs()
        assert [row.id for row in rows] == [SECOND, FIRST]
        assert all(row.facts == {} and not row.fresh and row.status == "done" for row in rows)
        assert journal.counts(FIRST) == {"done": 4}
        assert journal.counts(SECOND) == {"done": 1, "reused": 3}
        assert len(list(journal.digests(FIRST))) == 4


def test_its_runs_are_listed_and_shown_with_their_logs(old: Pipe) -> None:
    listed = json.loads(old("runs", "--json").out)
    assert [(row["id"], row["name"], row["status"], row["calls"], row["reused"]) for row in listed] == [
        (SECOND, "again", "done", 4, 3),
        (FIRST, "hello", "done", 4, 0),
    ]
    shown = old("runs", "show", SECOND).out
    assert "output    /home/ada/project/words.txt" in shown
    assert "pipe run specs/hello.yaml --set name=again" in shown
    assert "7 words in /home/ada/project/words.txt" in old("logs", FIRST).out


def test_its_runs_are_compared_with_each_other_and_with_new_ones(old: Pipe) -> None:
    nodes = {node["name"]: node for node in json.loads(old("diff", FIRST, SECOND, "--json").out)["nodes"]}
    assert (nodes["count_words"]["same"], nodes["count_words"]["same_code"]) == (3, True)
    assert (nodes["write_table"]["same"], nodes["write_table"]["different"]) == (1, 0)
    old("run", "specs/hello.yaml")
    assert "count_words  same  same" in old("diff", SECOND, "last").out


def test_a_new_run_finds_no_old_result_and_then_its_own(old: Pipe) -> None:
    assert old("run", "specs/hello.yaml", "--json").count("call_done", reused=True) == 0
    assert old("run", "specs/hello.yaml", "--json").count("call_done", reused=True) == 3


def test_an_old_run_is_resumed_where_its_project_is(old: Pipe) -> None:
    with closing(sqlite3.connect(old.folder / ".swath/journal.sqlite")) as connection, connection:
        connection.execute("UPDATE runs SET root = ?, status = 'interrupted'", (str(old.folder),))
    done = old("resume", FIRST, "--json")
    assert done.count("call_done", reused=False) == 4
    assert (old.folder / "words.txt").is_file()


def test_its_runs_and_their_results_are_pruned(old: Pipe) -> None:
    old("run", "specs/hello.yaml")
    listed = json.loads(old("prune", "--older-than", "30d", "--json").out)
    assert [run["id"] for run in listed["runs"]] == [FIRST, SECOND]
    assert listed["results"] == 5
    old("prune", "--older-than", "30d", "--yes")
    assert len(json.loads(old("runs", "--json").out)) == 1
    assert sorted(path.name for path in (old.folder / ".swath/runs").iterdir()) == [
        json.loads(old("runs", "--json").out)[0]["id"]
    ]
    assert old("run", "specs/hello.yaml", "--json").count("call_done", reused=True) == 3
