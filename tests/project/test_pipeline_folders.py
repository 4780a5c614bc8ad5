"""The folders of pipelines are those of the project, read without its other settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.errors import SpecError
from swath.project.pipeline_folders import pipeline_folders
from swath.project.project import Project


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "pipelines: [mine, other]",
        "pipelines: []",
        "clusters: {a: {kind: local}}",
        "pipelines: ['${env:WHERE}']",
    ],
)
def test_the_quick_look_for_pipeline_folders_finds_what_the_project_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("WHERE", "mine")
    for name in ("pipelines", "mine", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "swath.yaml").write_text(text)
    assert pipeline_folders(tmp_path / "mine") == Project.find(tmp_path).pipelines


def test_the_quick_look_tells_the_mistakes_of_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "swath.yaml").write_text("pipelines: [nowhere]")
    with pytest.raises(SpecError, match="nowhere"):
        pipeline_folders(tmp_path)
