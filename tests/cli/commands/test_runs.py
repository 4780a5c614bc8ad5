"""`pipe runs`, `pipe runs show` and `pipe logs` after runs, as processes."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Pipe


@pytest.mark.slow
def test_runs_and_logs_tell_what_happened(pipe: Pipe) -> None:
    assert "no runs yet" in pipe("runs").stderr
    assert pipe("logs", "last").returncode == 2
    pipe("run", "squares.yaml")
    failed = pipe("run", "squares.yaml", "--set", "bad=2")
    assert failed.returncode in (1, 3)
    rows = json.loads(pipe("runs", "--json").stdout)
    assert [(row["status"] == "done", row["failed"]) for row in rows] == [(False, 1), (True, 0)]
    table = pipe("runs").stdout.splitlines()
    assert len(table) == 3
    assert len(pipe("runs", "-n", "1").stdout.splitlines()) == 2
    shown = pipe("runs", "show", rows[0]["id"])
    assert "square[2]: ValueError: 2 is a bad number" in shown.stdout
    assert f"pipe resume {rows[0]['id']}" in shown.stderr
    lines = pipe("logs", rows[1]["id"]).stdout.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [f"squaring {n}" for n in range(4)]
    assert json.loads(pipe("logs", rows[1]["id"], "--node", "square", "--json").stdout.splitlines()[0])["item"] == 0
    assert pipe("logs", "last", "--level", "loud").returncode == 2
    for command in (["logs"], ["runs", "show"], ["runs", "table"], ["resume"], ["cancel"], ["diff", "last"]):
        done = pipe(*command, "nosuchrun")
        assert done.returncode == 2, done.stderr
        assert "there is no run 'nosuchrun' in" in done.stderr
