"""Whole runs on clusters: resources that tasks request, and workers that are added with the work."""

from __future__ import annotations

from pathlib import Path

import pytest

import swath
from swath.runner.outcome import RunOutcome
from tests.test_code_shipping import write

JOB = """
import os, time
from swath import Spec, pipeline, task

class Job(Spec):
    n: int = 1

@task(resources={"gpu": 1})
def draw(x):
    return x * 2

@task
def wait(x):
    time.sleep(0.25)
    return os.getpid()

@pipeline
def drawn(spec: Job):
    return draw.map(range(spec.n))

@pipeline
def waited(spec: Job):
    return wait.map(range(spec.n))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write(tmp_path / "project", {"swath.yaml": "", "pipelines/job.py": JOB})


def run(root: Path, text: str) -> RunOutcome:
    spec = root / "spec.yaml"
    spec.write_text(text)
    return swath.run(swath.load(spec))


def test_a_call_that_asks_for_what_no_worker_has_ends_the_run_with_exit_code_5_and_does_not_hang(project: Path) -> None:
    outcome = run(project, "pipeline: drawn\nn: 3\ncluster: {kind: local, workers: 1}\n")
    assert outcome.exit_code == 5
    assert "a call asks for gpu 1, but workers offer cpu 1, memory" in outcome.error
    assert "cluster: {resources: {gpu: ...}}" in outcome.error


def test_a_call_runs_where_its_resources_are(project: Path) -> None:
    outcome = run(project, "pipeline: drawn\nn: 3\ncluster: {kind: local, workers: 1, resources: {gpu: 1}}\n")
    assert (outcome.exit_code, list(outcome.result)) == (0, [0, 2, 4])


@pytest.mark.slow
def test_workers_come_with_the_work(project: Path) -> None:
    outcome = run(project, "pipeline: waited\nn: 60\ncluster: {kind: local, workers: {min: 1, max: 2}}\n")
    assert outcome.exit_code == 0
    assert len(set(outcome.result)) == 2
