"""`pipe sweep` as a process."""

from __future__ import annotations

import json

from tests.cli.conftest import Pipe


def test_sweep_finds_nothing_after_runs_that_ended(pipe: Pipe) -> None:
    assert "nothing is left" in pipe("sweep").stderr
    pipe("run", "squares.yaml")
    done = pipe("sweep", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
