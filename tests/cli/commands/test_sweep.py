"""`pipe sweep` as a process."""

from __future__ import annotations

import json
from pathlib import Path

from swath.engine.journal import Journal
from tests.cli.conftest import Pipe


def test_sweep_finds_nothing_after_runs_that_ended(pipe: Pipe) -> None:
    assert "nothing is left" in pipe("sweep").stderr
    pipe("run", "squares.yaml")
    done = pipe("sweep", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])


def test_sweep_removes_no_path_that_a_foreign_journal_names(pipe: Pipe, project: Path, swath_home: Path) -> None:
    precious = project / "precious"
    precious.mkdir()
    with Journal.open(swath_home) as journal:
        journal.write_lease("x", "partial", str(precious))
    done = pipe("sweep", "--yes")
    assert done.returncode == 7
    assert f"not removed: {precious} is not a staging folder of run x" in done.stderr
    assert precious.is_dir()
