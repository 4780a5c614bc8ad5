"""`pipe diff` as a process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Pipe
from tests.repositories import commit, repository


@pytest.mark.slow
def test_two_runs_are_compared_in_words_and_in_json_with_exit_code_0(pipe: Pipe, project: Path) -> None:
    repository(project, {})
    pipe("run", "squares.yaml")
    text = (project / "pipelines" / "squares.py").read_text()
    commit(project, {"pipelines/squares.py": text.replace("number * number", "abs(number * number - 1)")})
    pipe("run", "squares.yaml", "--set", "items=5")
    done = pipe("diff", "last~1", "last")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["items", "-", "5"] in lines
    assert ["1", "commit", "later"] in lines
    assert [line[0] for line in lines if line[:1] in (["before"], ["after"])] == ["before", "after"] * 2
    square = next(line for line in lines if line[:1] == ["square"])
    assert " ".join(square[3:10]) in ("4 done 5 done 1 3 1", "4 done 5 done 0 4 1")
    assert ["0", "different", "14", "27"] in lines
    found = json.loads(pipe("diff", "last~1", "last", "--json").stdout)
    assert found["spec"] == [{"key": "items", "before": None, "after": "5"}]
    assert found["code"]["commits"] == [0, 1]
    assert [node["name"] for node in found["nodes"]] == ["numbers", "square", "add"]
    assert found["before"]["id"] != found["after"]["id"]
    assert pipe("diff", "last", "last").stdout.count("no value differs") == 1


def test_a_run_that_is_not_there_is_exit_code_2(pipe: Pipe) -> None:
    assert pipe("diff", "last", "last~1").returncode == 2
    pipe("run", "squares.yaml")
    done = pipe("diff", "last", "last~1")
    assert done.returncode == 2
    assert "there is 1 run, so there is no last~1" in done.stderr
    assert pipe("runs", "show", "last~0").returncode == 0
    assert pipe("diff", "last").returncode == 2
