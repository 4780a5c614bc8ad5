"""A spec with a matrix runs as one run: its variants side by side, a table of what became of each."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from swath.cli.render.variant_rows import to_lines
from swath.engine.journal import Journal
from swath.engine.store import ResultStore
from swath.errors import Locked, PipelineError
from swath.events import CallDone, Event, Log, RunDone
from swath.graph.pipeline import Pipeline
from swath.project.project import Project
from swath.project.registry import Registry
from swath.runner.job import Job
from swath.runner.load import load_in, resumed
from swath.runner.lock import locked
from swath.runner.matrix import ROW, plan, variant_graphs
from swath.runner.outcome import RunOutcome
from swath.runner.runner import run
from swath.runner.variant_table import VariantTable
from swath.spec.fields.output import Destination

PIPELINE = """
import os
from pathlib import Path

from swath import Output, Spec, pipeline, task

class Score(Spec):
    area: str
    model: str = "m"
    items: int = 3
    token: str = ""
    output: Output | None = None

class Made:
    def __init__(self, folder):
        self.folder = folder
    def outputs(self):
        return [f"{self.folder}/out.txt"]
    def report(self):
        return {"folder": self.folder, "numbers": {"size": 4}}

@task
def prepare(model):
    print("preparing", model)
    return model.upper()

@task
def measure(item, *, area, model, token):
    if area == "bad" or (area == "holed" and item == 1):
        raise ValueError(f"no such area: {token or area}")
    if area == "killed" and os.environ.get("KILL"):
        os._exit(9)
    return item * len(model)

@task
def score(values, *, area):
    return {"accuracy": sum(values) / 10, "count": len(values), "name": area}

@task
def publish(scored, output):
    folder = Path(output.to)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "out.txt").write_text("made")
    return Made(output.to)

@pipeline
def scores(spec: Score):
    if spec.items < 0:
        raise ValueError("items below 0")
    model = prepare(spec.model, when=spec.area != "skipped")
    values = measure.map(list(range(spec.items)), area=spec.area, model=model, token=spec.token)
    scored = score(values, area=spec.area)
    return publish(scored, spec.output) if spec.output else scored
"""


class Setup:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pipelines").mkdir(parents=True)
        (folder / "pipelines" / "scores.py").write_text(PIPELINE)
        self.events: list[Event] = []
        self.project = Project.find(folder)
        self.registry = Registry.discover(self.project.pipelines)

    def load(self, text: str, *overrides: str) -> Job:
        spec = self.folder / "spec.yaml"
        cluster = "" if "cluster:" in text else "cluster: inline\n"
        spec.write_text(f"pipeline: scores\n{cluster}{text}")
        return load_in(spec, overrides, None, self.project, self.registry)

    def run(self, text: str, *overrides: str, **options: Any) -> RunOutcome:
        self.events.clear()
        return run(self.load(text, *overrides), listeners=[self.events.append], **options)

    @property
    def pipeline(self) -> Pipeline:
        return self.registry.find("scores")

    def table(self, outcome: RunOutcome) -> VariantTable:
        found = VariantTable.read(self.project.state / "runs" / outcome.run)
        assert found is not None
        return found


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path / "project")


def test_the_graph_of_a_matrix_has_a_step_and_a_row_for_each_variant(setup: Setup) -> None:
    made = setup.load("matrix: {area: [a, b]}\n").graph
    assert [node.name for node in made] == ["variants", "area=a", f"area=a/{ROW}", "area=b", f"area=b/{ROW}"]
    assert made["area=a"].target is setup.pipeline
    plain = setup.load("area: a\n").graph
    assert [node.name for node in plain] == ["prepare", "measure", "score"]


def test_a_matrix_is_one_run_whose_rows_have_values_calls_and_numbers(setup: Setup) -> None:
    outcome = setup.run("matrix:\n  area: [a, b]\n  model: [x, long]\n  exclude: [{area: b, model: x}]\n")
    assert (outcome.status, outcome.exit_code) == ("done", 0)
    rows = setup.table(outcome).rows
    assert [(row.variant, row.values, row.state) for row in rows] == [
        ("area=a,model=x", {"area": "a", "model": "x"}, "done"),
        ("area=a,model=long", {"area": "a", "model": "long"}, "done"),
        ("area=b,model=long", {"area": "b", "model": "long"}, "done"),
    ]
    assert [row.numbers for row in rows] == [{"accuracy": n, "count": 3} for n in (0.3, 1.2, 1.2)]
    assert [row.made + row.reused for row in rows] == [5, 5, 5]
    assert outcome.outputs[0].startswith("area=a,model=x: {'accuracy': 0.3")
    (end,) = [event for event in setup.events if isinstance(event, RunDone)]
    assert end.table == setup.table(outcome).plain()
    report = json.loads((setup.project.state / "runs" / outcome.run / "report.json").read_text())
    assert [row["variant"] for row in report["table"]] == [row.variant for row in rows]
    assert "area=a,model=long" in (setup.project.state / "runs" / outcome.run / "report.html").read_text()


def test_a_search_marks_the_best_of_what_it_tried(setup: Setup) -> None:
    outcome = setup.run("matrix:\n  area: [a, b]\n  model: [x, long]\nsearch: {random: 4, best: accuracy}\n")
    rows = setup.table(outcome).rows
    assert [(row.numbers["accuracy"], row.best) for row in rows] == [
        (0.3, False),
        (1.2, True),
        (0.3, False),
        (1.2, True),
    ]
    assert "done, best" in (setup.project.state / "runs" / outcome.run / "report.html").read_text()
    assert sum("done, best" in line for line in to_lines(setup.table(outcome).plain())) == 2
    outcome = setup.run("matrix: {area: [a]}\nsearch: {random: 1, best: acuracy, goal: min}\n")
    said = [event.text for event in setup.events if isinstance(event, Log)]
    assert "search.best: no variant has a number 'acuracy'; they have accuracy, count" in said


def test_a_variant_that_fails_does_not_stop_the_others_and_its_row_says_why(setup: Setup) -> None:
    outcome = setup.run("matrix: {area: [a, bad, holed, skipped, z]}\n")
    assert (outcome.status, outcome.exit_code) == ("partial", 3)
    assert {row.variant: (row.state, row.failed, row.error) for row in setup.table(outcome).rows} == {
        "area=a": ("done", 0, ""),
        "area=bad": ("failed", 3, "ValueError: no such area: bad"),
        "area=holed": ("partial", 1, "ValueError: no such area: holed"),
        "area=skipped": ("skipped", 0, ""),
        "area=z": ("done", 0, ""),
    }
    assert any(line.startswith("area=bad/measure[0]: ValueError") for line in outcome.set_aside)


def test_a_matrix_of_which_nothing_comes_to_an_end_has_failed(setup: Setup) -> None:
    outcome = setup.run("matrix: {area: [bad], model: [a, b]}\n")
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    assert [row.state for row in setup.table(outcome).rows] == ["failed", "failed"]


def test_on_error_stop_ends_the_run_at_the_first_and_the_table_says_how_far_it_came(setup: Setup) -> None:
    outcome = setup.run("on_error: stop\nmatrix: {area: [bad, a]}\n")
    assert (outcome.status, outcome.exit_code) == ("failed", 1)
    assert setup.table(outcome).rows[0].state == "failed"
    assert setup.table(outcome).rows[1].state in ("done", "stopped")


def test_a_variant_all_of_whose_many_calls_fail_does_not_stop_the_others(setup: Setup) -> None:
    outcome = setup.run("items: 40\nmatrix: {area: [a, bad, z]}\n")
    assert [row.state for row in setup.table(outcome).rows] == ["done", "failed", "done"]


def test_what_variants_have_in_common_is_made_once(setup: Setup) -> None:
    setup.run("cluster: {kind: local, workers: 2}\nmatrix: {area: [a, b, c]}\n")
    assert [e.text for e in setup.events if isinstance(e, Log)] == ["preparing m"]


def test_the_same_matrix_again_makes_no_call_and_a_longer_one_only_what_is_new(setup: Setup) -> None:
    setup.run("matrix: {area: [a]}\n")
    again = setup.run("matrix: {area: [a]}\n")
    assert all(event.reused for event in setup.events if isinstance(event, CallDone))
    assert (again.exit_code, setup.table(again).rows[0].made, setup.table(again).rows[0].reused) == (0, 0, 5)
    more = setup.run("matrix: {area: [a, b]}\n")
    assert [(row.made, row.reused) for row in setup.table(more).rows] == [(0, 5), (4, 1)]


def test_each_variant_has_its_own_folder_report_lock_and_staging(setup: Setup) -> None:
    outcome = setup.run("matrix: {area: [a, b]}\noutput: out\n")
    out = setup.folder / "out"
    assert sorted(outcome.outputs) == sorted(
        str(out / name)
        for name in (
            "area=a/out.txt", "area=b/out.txt", "report.json", "report.html", "area=a/report.json", "area=a/report.html",
            "area=b/report.json", "area=b/report.html",
        )
    )  # fmt: skip
    assert json.loads((out / "area=a/report.json").read_text())["name"] == "area=a"
    assert [row.folder for row in setup.table(outcome).rows] == [str(out / "area=a"), str(out / "area=b")]
    job = setup.load("matrix: {area: [a, b]}\noutput: out\n")
    assert [output.to for output in job.outputs] == [str(out / "area=a"), str(out / "area=b")]
    with locked(str(out / "area=b"), "another"), pytest.raises(Locked, match="another"):
        setup.run("matrix: {area: [a, b]}\noutput: out\n")
    with Journal.open(setup.project.state) as journal:
        assert journal.leases() == []


def test_a_report_is_written_to_no_folder_that_the_user_chose_for_several_variants(setup: Setup) -> None:
    setup.run("matrix: {include: [{area: a, output.to: out/one}, {area: b, output.to: out/two}]}\n")
    assert not (setup.folder / "out/report.json").exists()
    assert (setup.folder / "out/two/report.json").exists()


def test_a_killed_matrix_is_shown_and_resumed_with_the_same_variants(setup: Setup) -> None:
    text = "matrix: {area: [a, killed], model: [x, long]}\n"
    child = os.fork()
    if child == 0:
        os.environ["KILL"] = "1"
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            setup.run(text)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with Journal.open(setup.project.state) as journal:
        (row,) = journal.runs()
        stored = VariantTable.read(setup.project.state / "runs" / row.id)
        assert stored is not None
        assert not stored.final
        table = stored.updated(journal, ResultStore(str(setup.project.state / "results")), row.id, ended=True)
    assert row.status == "crashed"
    assert len(table.rows) == 4
    assert {r.state for r in table.rows} <= {"done", "stopped"}
    outcome = run(resumed(row, setup.project, setup.registry))
    assert (outcome.run, outcome.status) == (row.id, "done")
    assert [(r.variant, r.state) for r in setup.table(outcome).rows] == [(r.variant, "done") for r in stored.rows]


def test_secrets_are_in_no_table(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_A", "canary-7f3a9")
    outcome = setup.run(
        "token: ${env:TOKEN_A}\nmatrix: {area: [a, bad], model: ['${env:TOKEN_A}']}\noutput: '${env:TOKEN_A}'\n"
    )
    assert outcome.exit_code == 3
    folder = setup.project.state / "runs" / outcome.run
    assert "canary" not in (folder / "table.json").read_text()
    (end,) = [event for event in setup.events if isinstance(event, RunDone)]
    assert "canary" not in json.dumps(end.table)


def test_a_variant_that_cannot_be_built_is_named_before_anything_starts(setup: Setup) -> None:
    @pipeline_of
    def broken(spec: Any) -> Any:
        raise PipelineError("not like this")

    with pytest.raises(PipelineError, match="area=a: not like this"):
        variant_graphs(broken, setup.load("matrix: {area: [a, b]}\n").loaded)


def pipeline_of(fn: Any) -> Pipeline:
    from swath.spec.base import Spec

    fn.__annotations__ = {"spec": Spec}
    return Pipeline(fn, fn.__name__)


def test_the_plan_of_a_matrix_adds_the_work_of_its_variants_up(setup: Setup) -> None:
    found = plan(setup.pipeline, setup.load("matrix: {area: [a, b, c]}\n").loaded)
    assert found == {
        "variants": 3, "calls": 9, "mapped": 3, "each": {f"area={n}": {"calls": 3, "mapped": 1} for n in "abc"},
    }  # fmt: skip
    assert plan(setup.pipeline, setup.load("area: a\n").loaded) == {"calls": 3, "mapped": 1}


def test_a_matrix_of_many_variants_begins_at_once(setup: Setup) -> None:
    began = time.monotonic()
    job = setup.load(
        f"items: 1\nmatrix: {{model: {[f'm{n}' for n in range(16)]}, area: {[f'a{n}' for n in range(16)]}}}\n"
    )
    made = job.graph
    assert len(made) == 1 + 2 * 256
    assert time.monotonic() - began < 10


def test_every_shipped_pipeline_has_an_output_that_is_locked_and_in_which_variants_have_their_folders() -> None:
    shipped = Registry.discover([])
    assert len(shipped.names) >= 6
    for name in shipped.names:
        kind = shipped.spec_class(name).model_fields["output"].annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Destination), name
