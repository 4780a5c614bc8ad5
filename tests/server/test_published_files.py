"""Which files of runs a server may read on its own machine: what an agent reports is not believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.protocol.messages import RunFile, RunInfo
from swath.server.database.database import Database
from swath.server.projects import Projects
from swath.server.published_files import TIFF, LegendClass, PublishedFiles
from swath.server.refusals import NotFound

RUN: dict[str, Any] = {
    "id": "run-1", "project": "lakes", "name": "lake", "pipeline": "predict", "state": "ended", "status": "done", "exit_code": 0,
    "error": "", "labels": (), "priority": 0, "limit_key": None, "attempt": 1, "attempts": 1, "requested_by": "ada", "cancel": "",
    "queued": 1.0, "started": 1.0, "ended": 2.0, "agent": "desk", "silent_s": 0.0, "outputs": (), "summary": {},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "project" / "out"
    inner.mkdir(parents=True)
    (inner / "map.tif").write_bytes(b"12345")
    return inner


@pytest.fixture
def published(database: Database, folder: Path) -> PublishedFiles:
    projects = Projects(database)
    projects.put("lakes", {"folder": str(folder.parent)}, who="test")
    return PublishedFiles(projects, here=True)


def run_with(*places: object, size: int | None = None) -> RunInfo:
    files = tuple(RunFile(place=str(place), media=TIFF, bytes=size) for place in places)
    return RunInfo(**RUN | {"files": files})


def test_a_file_of_the_project_is_read_and_nothing_else(published: PublishedFiles, folder: Path) -> None:
    assert published.path(run_with(folder / "map.tif", size=5), 0) == folder / "map.tif"
    (folder / "away.tif").symlink_to("/etc/passwd")
    secret = folder.parent / ".swath" / "server"
    secret.mkdir(parents=True)
    (secret / "token").write_text("secret")
    wrong = (
        "/etc/passwd", folder / ".." / ".." / "other", folder / "away.tif", secret / "token", folder, "s3://bucket/map.tif",
        "out/map.tif", folder / "gone.tif", folder / "\0",
    )  # fmt: skip
    run = run_with(*wrong)
    for number in range(len(wrong)):
        with pytest.raises(NotFound):
            published.path(run, number)
    assert published.readable(run) == frozenset()
    with pytest.raises(NotFound):
        published.path(run, -1)
    with pytest.raises(NotFound, match="replaced by a later run"):
        published.path(run_with(folder / "map.tif", size=4), 0)


def test_a_server_whose_projects_are_elsewhere_reads_nothing(
    database: Database, published: PublishedFiles, folder: Path
) -> None:
    with pytest.raises(NotFound, match="not on the server's machine"):
        PublishedFiles(Projects(database), here=False).path(run_with(folder / "map.tif"), 0)


def test_the_legend_is_that_of_the_item_and_the_report_beside_the_map(published: PublishedFiles, folder: Path) -> None:
    classes = [{"value": 0, "name": "land", "color_hint": "E6DFC8"}, {"value": 1, "name": "<b>", "color_hint": "red;x"}]
    asset = {"href": "./map.tif", "classification:classes": classes, "bands": [{"nodata": 255}]}
    (folder / "item.json").write_text(json.dumps({"assets": {"map": asset}}))
    (folder / "report.json").write_text(json.dumps({"shares": [{"value": 0, "fraction": 0.75}]}))
    run = run_with(folder / "map.tif", folder / "item.json", folder / "report.json")
    land, other = published.bands(run, 0).classes
    assert land == LegendClass(0, "land", "#e6dfc8", 0.75)
    assert (other.name, len(other.color)) == ("<b>", 7)
    for text in ("", "{", "[]", '{"assets": {}}', '{"assets": {"map": 5}}', "[" * 100_000):
        (folder / "item.json").write_text(text)
        assert published.bands(run, 0).classes == ()
    asset = {"href": "map.tif", "bands": [{"nodata": "nan", "statistics": {"minimum": 0, "maximum": 9}}]}
    (folder / "item.json").write_text(json.dumps({"assets": {"map": asset}}))
    assert published.bands(run, 0).span == (0.0, 9.0)
