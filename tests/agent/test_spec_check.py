from __future__ import annotations

from pathlib import Path

import pytest

from swath.agent.spec_check import FolderSpecCheck, SpecCheckLimits
from swath.protocol.messages import RunRequest


def request(spec: str, *sets: str) -> RunRequest:
    return RunRequest(project="lakes", spec=spec, set=sets)


@pytest.mark.slow
def test_mistakes_come_with_line_and_column_as_pipe_check_has_them(tmp_path: Path) -> None:
    check = FolderSpecCheck()
    text = "pipeline: predict\nimagery:\n  source: files\n  paths: [none.tif]\nmodel: m.pt2\noutput: out\nregoin: 5\n"
    found = check(tmp_path, request(text), thorough=False)
    assert ("spec", 7, 1, "regoin") in [(each.file, each.line, each.column, each.field) for each in found]
    assert any("no such file" in each.message for each in found)
    (unknown,) = check(tmp_path, request("pipeline: nothing\n"), thorough=False)
    assert (unknown.line, unknown.column, unknown.field) == (1, 11, "pipeline")


def test_a_check_that_does_not_end_and_a_folder_that_is_gone_are_said(tmp_path: Path) -> None:
    (late,) = FolderSpecCheck(SpecCheckLimits(timeout_s=0.01))(tmp_path, request("pipeline: predict\n"), thorough=False)
    assert "did not end within" in late.message
    (gone,) = FolderSpecCheck()(tmp_path / "gone", request("pipeline: predict\n"), thorough=False)
    assert "cannot be used" in gone.message
