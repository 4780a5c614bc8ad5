"""The command and a matrix: check, show and plan tell its variants; the table is at a run's end and later."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Pipe

MATRIX = (
    "pipeline: squares\ncluster: inline\nmatrix:\n  items: [2, 3]\n  bad: [-1, 1]\n  exclude: [{items: 3, bad: 1}]\n"
)
NAMES = ["items=2,bad=-1", "items=2,bad=1", "items=3,bad=-1"]


@pytest.fixture
def spec(project: Path) -> str:
    (project / "matrix.yaml").write_text(MATRIX)
    return "matrix.yaml"


def test_check_tells_the_variants_and_the_place_of_each_mistake(pipe: Pipe, spec: str, project: Path) -> None:
    done = pipe("check", spec)
    assert done.stdout.splitlines() == [
        "matrix.yaml: ok (squares, 9 nodes, 3 variants)", *(f"matrix.yaml: variant: {name}" for name in NAMES),
    ]  # fmt: skip
    assert [v["name"] for v in json.loads(pipe("check", spec, "--json").stdout)[0]["variants"]] == NAMES
    (project / spec).write_text(MATRIX.replace("[2, 3]", "[2, three]"))
    wrong = pipe("check", spec)
    assert wrong.returncode == 2
    assert "matrix.yaml:4:14: matrix.items.1: expected a whole number, got text" in wrong.stderr


def test_show_tells_the_variants_and_draws_their_graph_once(pipe: Pipe, spec: str) -> None:
    text = pipe("show", spec).stdout
    assert "Matrix: 3 variants in one run\n  items=2,bad=-1\n" in text
    assert text.count("square ") == 1
    assert json.loads(pipe("show", spec, "--json").stdout)["variants"][0]["values"] == {
        "items": 2,
        "bad": -1,
    }
    assert '"items=2,bad=1/square"' in pipe("show", spec, "--dot").stdout


def test_plan_adds_up(pipe: Pipe, spec: str) -> None:
    lines_ = dict(line.split(maxsplit=1) for line in pipe("plan", spec).stdout.splitlines() if line)
    assert (lines_["variants"], lines_["calls"]) == ("3", "9")


@pytest.mark.slow
def test_the_table_ends_the_view_and_is_told_later_as_text_csv_and_json(pipe: Pipe, spec: str) -> None:
    done = pipe("run", spec)
    assert done.returncode == 3
    assert "ITEMS  BAD  STATE    MADE  REUSED  FAILED" in done.stderr
    assert done.stdout.splitlines() == ["items=2,bad=-1: 1", "items=2,bad=1: 0", "items=3,bad=-1: 5"]
    text = pipe("runs", "table", "last").stdout.splitlines()
    assert [line.split()[:3] for line in text[1:]] == [["2", "-1", "done"], ["2", "1", "partial"], ["3", "-1", "done"]]
    assert "1 is a bad number" in text[2]
    table = list(csv.DictReader(io.StringIO(pipe("runs", "table", "last", "--csv").stdout)))
    assert [(row["variant"], row["items"], row["state"], row["result"]) for row in table] == [
        (NAMES[0], "2", "done", "1"), (NAMES[1], "2", "partial", "0"), (NAMES[2], "3", "done", "5"),
    ]  # fmt: skip
    rows = json.loads(pipe("runs", "table", "last", "--json").stdout)
    assert [row["values"] for row in rows] == [{"items": 2, "bad": -1}, {"items": 2, "bad": 1}, {"items": 3, "bad": -1}]
    assert pipe("runs", "table", "last", "--json", "--csv").returncode == 2


def test_a_run_without_a_matrix_has_no_table_and_says_so(pipe: Pipe) -> None:
    pipe("run", "squares.yaml")
    done = pipe("runs", "table", "last")
    assert done.returncode == 2
    assert "is not the run of a matrix" in done.stderr


def test_events_carry_the_table(pipe: Pipe, spec: str) -> None:
    end = json.loads(
        pipe(
            "run", spec, "--json", "--set", "matrix.items=[4]", "--set", "matrix.exclude=[{bad: 1}]"
        ).stdout.splitlines()[-1]
    )
    assert [(row["variant"], row["numbers"]) for row in end["table"]] == [("items=4,bad=-1", {"result": 14})]
