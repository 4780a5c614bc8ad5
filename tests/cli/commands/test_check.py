"""`pipe check` as a process."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Pipe


def test_check_prints_a_verdict_per_file_and_exits_2_when_one_is_wrong(pipe: Pipe, project: Path) -> None:
    (project / "bad.yaml").write_text("pipeline: squares\nitmes: 3\nwait: soon\n")
    assert pipe("check", "squares.yaml").returncode == 0
    done = pipe("check", "squares.yaml", "bad.yaml", "missing.yaml")
    assert done.returncode == 2
    assert done.stdout.splitlines()[:2] == ["squares.yaml: ok (squares, 3 nodes)", "bad.yaml: 2 mistakes"]
    assert "bad.yaml:2:1" in done.stderr
    rows = json.loads(pipe("check", "squares.yaml", "bad.yaml", "--json").stdout)
    assert [row["ok"] for row in rows] == [True, False]
    assert [mistake["line"] for mistake in rows[1]["mistakes"]] == [2, 3]
