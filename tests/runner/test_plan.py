"""What a run would take, and which calls it would make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swath.errors import UsageError
from swath.runner.job import Job
from swath.runner.load import load
from swath.runner.plan import Plan, explain, plan
from swath.runner.runner import run
from tests.runner.test_runner import PIPELINE


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/job.py").write_text(PIPELINE)
    spec = tmp_path / "halves.yaml"
    spec.write_text("pipeline: job\nn: 1\ncluster: inline\n")
    return load(spec)


def test_a_plan_says_what_runs_where_and_writes_nothing(job: Job) -> None:
    found = plan(job)
    assert found.values == {
        "pipeline": "job", "name": "halves", "cluster": "inline", "state": str(job.project.state), "calls": 1, "mapped": 1,
    }  # fmt: skip
    assert json.loads(found.to_json()) == found.values
    assert not job.project.state.exists()


def test_values_of_a_plan_are_texts_for_people() -> None:
    values = {"map_bytes": 12345, "hours": (1.5, 2.0), "cost_usd": (3.0, None), "price": None, "each": {"a": {}}}
    assert Plan(values).facts == [
        ("map bytes", "12,345"),
        ("hours", "1.5 to 2"),
        ("cost usd", "at least 3"),
        ("price", "not known"),
    ]


def test_an_error_of_a_planner_is_shown_without_secrets(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "canary-4711")
    file = Path(job.loaded.file)
    (file.parent / "pipelines/job.py").write_text(
        PIPELINE + "\n@say.planner\ndef plan(spec):\n    raise OSError(f'cannot open {spec.words[0]}')\n"
    )
    file.write_text('pipeline: say\nwords: ["${env:TOKEN}"]\ncluster: inline\n')
    with pytest.raises(UsageError, match=r"there is no plan of say: OSError: cannot open \$\{env:TOKEN\}"):
        plan(load(file))


def test_an_explanation_compares_with_the_last_run_of_the_same_name_and_writes_nothing(job: Job) -> None:
    assert [(each.node, each.state, each.runs) for each in explain(job)] == [("half", "runs", 1)]
    assert not job.project.state.exists()
    run(job)
    assert [(each.node, each.state, each.finished) for each in explain(job)] == [("half", "finished", 1)]
    assert [(each.state, each.why) for each in explain(job, fresh=True)] == [("runs", "--fresh")]


def test_a_long_list_is_shown_by_its_first_members() -> None:
    assert dict(Plan({"grid": list(range(8))}).facts) == {"grid": "[0, 1, 2, 3, 4, 5, 6, 7]"}
    assert dict(Plan({"grid": list(range(2000))}).facts) == {"grid": "0, 1, 2, 3, 4, 5, 6, 7 and 1,992 more"}
