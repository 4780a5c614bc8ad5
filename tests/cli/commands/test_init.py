"""`pipe init` as a process."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Pipe


def test_init_makes_a_project_that_runs_and_does_not_overwrite(pipe: Pipe, tmp_path: Path) -> None:
    done = pipe("init", "mine", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "mine\n")
    mine = tmp_path / "mine"
    ran = pipe("run", "specs/hello.yaml", cwd=mine)
    assert ran.returncode == 0, ran.stderr
    assert (mine / "words.txt").read_text().splitlines()[0].split() == ["6", "a"]
    assert pipe("check", "specs/hello.yaml", cwd=mine).returncode == 0
    again = pipe("init", "mine", cwd=tmp_path)
    assert again.returncode == 2
    assert "nothing was written" in again.stderr
