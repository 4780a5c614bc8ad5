"""The report of a run, in the state folder and beside what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.engine.journal import Journal
from swath.runner.job import Job
from swath.runner.load import load
from swath.runner.runner import run

PIPELINE = """
from pathlib import Path

from swath import Spec, pipeline, task

class Where(Spec):
    place: str = ""

class Result:
    def __init__(self, folder):
        self.folder = folder
    def report(self):
        if self.folder == "raises":
            raise KeyError("oops")
        return {"folder": self.folder, "lakes": 3, "shares": "many" if self.folder == "odd" else []}

@task
def publish(folder):
    return Result(folder) if folder else 7

@pipeline
def published(spec: Where):
    return publish(spec.place)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/published.py").write_text(PIPELINE)
    return tmp_path


def job(folder: Path, **fields: Any) -> Job:
    spec = folder / "spec.yaml"
    spec.write_text(json.dumps({"pipeline": "published", "cluster": "inline", **fields}))
    return load(spec)


def test_the_report_is_written_to_the_state_folder_with_how_to_run_it_again(folder: Path) -> None:
    this = job(folder)
    outcome = run(this)
    report = json.loads((this.project.state / "runs" / outcome.run / "report.json").read_text())
    assert (report["status"], report["exit_code"], report["name"], report["made"]) == ("done", 0, "spec", 1)
    assert report["command"].startswith("pipe run ")
    assert outcome.outputs == ["7"]


def test_beside_a_map_it_is_an_output_with_what_the_result_says(folder: Path) -> None:
    outcome = run(job(folder, place=str(folder / "out")))
    assert outcome.outputs[-2:] == [str(folder / "out/report.json"), str(folder / "out/report.html")]
    assert json.loads((folder / "out/report.json").read_text())["lakes"] == 3


def test_a_result_in_a_bucket_gets_none_beside_it(folder: Path) -> None:
    outcome = run(job(folder, place="s3://bucket/out"))
    assert outcome.status == "done"
    assert not any("report" in output for output in outcome.outputs)


def test_a_report_that_cannot_be_written_is_a_warning(folder: Path) -> None:
    this = job(folder)
    this.project.state.mkdir(parents=True)
    (this.project.state / "runs").write_text("a file where the folder should be")
    outcome = run(this)
    assert (outcome.status, outcome.exit_code) == ("done", 0)
    with Journal.open(this.project.state) as journal:
        lines = [line.text for line in journal.logs(outcome.run, level="warning")]
    assert any(line.startswith("the report could not be written: ") for line in lines)


@pytest.mark.parametrize("place", ["raises", "odd"])
def test_a_result_whose_report_is_faulty_is_a_warning(folder: Path, place: str) -> None:
    this = job(folder, place=place)
    outcome = run(this)
    assert outcome.status == "done"
    with Journal.open(this.project.state) as journal:
        assert journal.find(outcome.run).status == "done"
        lines = [line.text for line in journal.logs(outcome.run, level="warning")]
    assert [line.partition(": ")[0] for line in lines] == ["the report could not be written"]
