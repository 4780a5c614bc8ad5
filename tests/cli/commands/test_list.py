"""`pipe list` as a process."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Pipe


def test_list_shows_own_and_stock_pipelines_and_warns_of_broken_files(pipe: Pipe, project: Path) -> None:
    (project / "pipelines" / "broken.py").write_text("import nothing_of_that_name\n")
    done = pipe("list")
    assert done.returncode == 0
    assert "squares" in done.stdout
    assert "predict" in done.stdout
    assert "nothing_of_that_name" in done.stderr
    names = [row["name"] for row in json.loads(pipe("list", "--json").stdout)]
    assert names == sorted(names)
    assert {"predict", "squares"} <= set(names)


def test_two_pipelines_of_one_name_do_not_hide_the_others(pipe: Pipe, project: Path) -> None:
    (project / "pipelines" / "again.py").write_text((project / "pipelines" / "squares.py").read_text())
    for _ in range(2):
        done = pipe("list")
        assert done.returncode == 0
        assert "predict" in done.stdout
        assert "squares" not in done.stdout
        assert "warning: two pipelines are called 'squares'" in done.stderr
    refused = pipe("check", "squares.yaml")
    assert refused.returncode == 2
    assert "two pipelines are called 'squares'" in refused.stderr
