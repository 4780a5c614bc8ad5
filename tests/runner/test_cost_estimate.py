"""Before it costs: what `pipe plan` says of a cluster in a cloud, from what earlier runs took, and what a budget refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.engine.journal import Journal
from swath.errors import SpecError, UsageError
from swath.project.project import Project
from swath.runner.job import Job
from swath.runner.load import load
from swath.runner.outcome import RunOutcome
from swath.runner.plan import plan
from swath.runner.runner import run

PIPELINE = """
import time
from swath import ModelRef, Spec, pipeline, task

class Result(str):
    def report(self):
        return {"megapixels": 2.0}

class Job(Spec):
    model: ModelRef
    regions: int = 4

@task(on_client=True)
def look():
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return 1

@task
def work(x, *, looked):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    return x

@task(on_client=True)
def end(done):
    return Result("made")

@pipeline
def job(spec: Job):
    return end(work.map(range(spec.regions), looked=look()))

@job.planner
def plan(spec):
    return {"megapixels": 1000.0, "read_bytes": 3_000_000_000, "map_bytes_at_most": 1_000_000_000}
"""
CLUSTERS = """
clusters:
  aws: {kind: aws, region: eu-central-1, image: x, security_groups: [sg-1], workers: {min: 1, max: 4}}
  gpu: {kind: aws, region: eu-central-1, image: x, machine_image: ami-1, security_groups: [sg-1], machine: g5.xlarge}
  odd: {kind: aws, region: eu-central-1, image: x, security_groups: [sg-1], machine: m9.huge}
"""


class Setup:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pipelines").mkdir(parents=True)
        (folder / "pipelines" / "job.py").write_text(PIPELINE)
        (folder / "swath.yaml").write_text(CLUSTERS)
        for name in ("one", "two"):
            (folder / f"{name}.pt2").write_text(name)

    def load(self, model: str = "one", **fields: Any) -> Job:
        spec = self.folder / "spec.yaml"
        stage = {} if fields.get("cluster", "inline") == "inline" else {"stage": "s3://bucket/inputs"}
        spec.write_text(json.dumps({"pipeline": "job", "model": f"{model}.pt2", **stage, **fields}))
        return load(spec)

    def run(self, **fields: Any) -> RunOutcome:
        return run(self.load(**fields))

    def plan(self, **fields: Any) -> dict[str, Any]:
        return plan(self.load(**fields)).values


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path / "project")


def test_hours_and_cost_follow_what_an_earlier_run_of_the_same_model_took(setup: Setup) -> None:
    before = setup.plan(cluster="aws")
    assert before["cost_usd"][1] is None
    assert "no earlier run" in before["rate"]
    done = setup.run(cluster="inline")
    after = setup.plan(cluster="aws")
    assert done.run in after["rate"]
    seconds = float(after["rate"].partition(" s per")[0])
    assert 0.1 <= seconds < 0.14, "four calls of 0.05 s for two megapixels; what the client does is not counted"
    low, high = after["hours"]
    assert low < 1000 * seconds / 4 / 4 / 3600 + 0.05 < high
    assert "no earlier run" in setup.plan(cluster="aws", model="two")["rate"]
    assert "no earlier run" in setup.plan(cluster="gpu")["rate"], "a processor tells nothing of a GPU"


def test_results_that_a_run_only_found_make_it_no_faster(setup: Setup) -> None:
    setup.run(cluster="inline", regions=2)
    second = setup.run(cluster="inline", regions=4)
    rate = setup.plan(cluster="aws")["rate"]
    assert second.run in rate
    assert 0.1 <= float(rate.partition(" s per")[0]) < 0.14


def test_a_given_rate_goes_before_a_measured_one_and_is_taken_at_its_word(setup: Setup) -> None:
    setup.run(cluster="inline")
    cluster = {"kind": "aws", "region": "eu-central-1", "image": "x", "security_groups": ["sg-1"], "workers": 1}
    said = setup.plan(cluster={**cluster, "seconds_per_megapixel": 144})
    assert said["rate"].startswith("144 s per megapixel")
    assert said["hours"][0] == pytest.approx(10, abs=0.1)
    assert said["storage_usd_month"] > 0
    assert json.loads(plan(setup.load(cluster={**cluster, "seconds_per_megapixel": 144})).to_json())["hours"]


def test_an_unknown_price_is_in_the_plan_and_refused_with_a_budget(setup: Setup) -> None:
    said = setup.plan(cluster="odd")
    assert said["cost_usd"] is None
    assert "prices: {aws: {eu-central-1: {machines: {m9.huge: USD_PER_HOUR}}}}" in said["prices"]
    with pytest.raises(UsageError, match=r"the budget cannot be enforced: the price of m9\.huge"):
        setup.run(cluster="odd", budget=20)


def test_a_region_that_is_not_known_is_in_the_plan_and_refused_with_a_budget(setup: Setup) -> None:
    cluster = {"kind": "aws", "region": "auto", "image": "x", "security_groups": ["sg-1"]}
    said = setup.plan(cluster=cluster, stage="gs://maps/stage")
    assert said["cost_usd"] is None
    assert "cluster.region: auto stands for the region of the bucket of results, and there is none" in said["prices"]
    with pytest.raises(UsageError, match=r"cluster\.region: auto"):
        setup.run(cluster=cluster, stage="gs://maps/stage", budget=20)


def test_a_run_that_surely_costs_more_than_its_budget_is_refused_before_anything_is_begun(setup: Setup) -> None:
    setup.run(cluster="inline")
    assert "surely exceeded" in setup.plan(cluster="aws", budget=0.001)["budget"]
    with pytest.raises(UsageError, match=r"at least 0\.0\d+ USD, more than its budget of 0\.001 USD"):
        setup.run(cluster="aws", budget="0.001 USD")
    with Journal.open(Project.find(setup.folder).state) as journal:
        assert len(journal.runs()) == 1


@pytest.mark.parametrize("wrong", ["20 EUR", -1, 0, True, "much"])
def test_a_wrong_budget_is_a_mistake_with_its_place(setup: Setup, wrong: Any) -> None:
    with pytest.raises(SpecError, match=r"spec\.yaml:1:\d+: budget: "):
        setup.load(budget=wrong)


@pytest.mark.parametrize("right", [20, 20.0, "20", "20 USD", "USD 20", "$20"])
def test_a_budget_is_a_number_of_usd(setup: Setup, right: Any) -> None:
    assert setup.load(budget=right).spec.budget == 20


def test_a_budget_has_no_effect_here_and_says_so(setup: Setup) -> None:
    assert "has no effect on a cluster of kind inline" in setup.plan(cluster="inline", budget=1)["budget"]
    done = setup.run(cluster="inline", budget=0.0001)
    assert done.status == "done"
    with Journal.open(Project.find(setup.folder).state) as journal:
        assert any("the budget has no effect" in line.text for line in journal.logs(done.run))
