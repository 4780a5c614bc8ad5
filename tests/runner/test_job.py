"""A job gathers once what a run needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from swath.cli.commands.check import check_specs
from swath.engine.journal import Journal
from swath.errors import PipelineError
from swath.project.provenance import CodeSource
from swath.runner.job import Job
from swath.runner.load import load
from swath.runner.plan import explain, plan
from swath.runner.runner import run
from tests.repositories import repository

PIPELINE = """
from pathlib import Path

from swath import Output, Spec, pipeline, task

class Count(Spec):
    n: int = 1
    token: str = ""
    output: Output | None = None

@task
def count(n):
    return n

@pipeline
def counted(spec: Count):
    with (Path(__file__).parents[1] / "built").open("a") as file:
        file.write(f"{spec.n}\\n")
    if spec.n < 0:
        raise ValueError(f"no such number: {spec.token}")
    return count(spec.n)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines/counted.py").write_text(PIPELINE)
    (folder / "swath.yaml").write_text("")
    return folder


def job(project: Path, text: str = "") -> Job:
    file = project / "counted.yaml"
    file.write_text(f"pipeline: counted\ncluster: inline\n{text}")
    return load(file)


def built(project: Path) -> list[str]:
    """The specs whose graph was built since the last look."""
    file = project / "built"
    lines = file.read_text().split() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def test_a_run_a_plan_and_an_explanation_build_the_graph_once_between_them(project: Path) -> None:
    this = job(project, "budget: 5\n")
    plan(this)
    explain(this)
    assert run(this).status == "done"
    assert built(project) == ["1"]


def test_a_check_builds_the_graph_of_each_variant_once(project: Path) -> None:
    job(project, "matrix: {n: [1, 2]}\n")
    assert check_specs([project / "counted.yaml"], [], None, [], as_json=False) == 0
    assert built(project) == ["1", "2"]


def test_an_error_of_a_pipeline_is_shown_without_secrets(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "canary-4711")
    with pytest.raises(Exception, match="no such number") as caught:
        _ = job(project, "n: -1\ntoken: ${env:TOKEN}\n").graph
    assert "canary" not in str(caught.value)


def test_secrets_are_those_of_spec_and_project_and_the_addresses_of_every_notification(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "canary-4711")
    monkeypatch.setenv("HOOK", "https://example.org/hooks/abcdefghijklmnop")
    (project / "swath.yaml").write_text(
        'notify: {on_failure: ["${env:HOOK}", "https://example.org/plain/0123456789abcdef"]}\n'
    )
    this = job(project, "token: ${env:TOKEN}\n")
    assert this.scrub("canary-4711 at https://example.org/hooks/abcdefghijklmnop") == "${env:TOKEN} at ${env:HOOK}"
    assert this.scrub("at https://example.org/plain/0123456789abcdef") == "at https://example.org"
    assert set(this.result_secrets) == {"canary-4711", "https://example.org/hooks/abcdefghijklmnop"}


def test_outputs_are_those_of_all_variants(project: Path) -> None:
    this = job(project, "matrix: {n: [1, 2]}\noutput: out\n")
    assert [output.to for output in this.outputs] == [str(project / "out/n=1"), str(project / "out/n=2")]


def test_the_source_is_the_commit_of_the_files_unless_one_was_given(project: Path) -> None:
    repository(project, {"counted.yaml": "pipeline: counted\ncluster: inline\n"})
    this = job(project)
    assert this.source.git["spec"] == "counted.yaml"
    assert this.source is this.source
    given = CodeSource({"commit": "abc"})
    assert Job(this.loaded, this.project, this.registry, given).source is given


def test_a_pipeline_that_is_gone_is_named(project: Path) -> None:
    this = job(project)
    gone = Job(this.loaded, this.project, type(this.registry)())
    with pytest.raises(PipelineError, match="there is no pipeline 'counted'"):
        _ = gone.graph


def test_ids_of_runs_begin_with_their_time_and_name_and_differ(project: Path) -> None:
    this = job(project, "name: lake\n")
    assert "-lake-" in this.new_id()
    assert this.new_id() != this.new_id()
    outcome = run(this, run_id="mine")
    with Journal.open(this.project.state) as journal:
        assert journal.find(outcome.run).id == "mine"
