"""The rate of a run is measured at its end, and read from its row by later plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.engine.journal import Journal
from swath.runner.load import load
from swath.runner.plan import plan
from swath.runner.runner import run
from tests.runner.test_cost_estimate import CLUSTERS, PIPELINE


class Setup:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pipelines").mkdir(parents=True)
        (folder / "pipelines/job.py").write_text(PIPELINE)
        (folder / "swath.yaml").write_text(CLUSTERS)
        (folder / "one.pt2").write_text("one")

    def job(self, **fields: Any) -> Any:
        stage = {} if fields["cluster"] == "inline" else {"stage": "s3://bucket/inputs"}
        spec = self.folder / "spec.yaml"
        spec.write_text(json.dumps({"pipeline": "job", "model": "one.pt2", **stage, **fields}))
        return load(spec)

    def journal(self) -> Journal:
        return Journal.open(self.job(cluster="inline").project.state)

    def rate(self, **fields: Any) -> str:
        return str(plan(self.job(**fields)).values["rate"])

    def earlier(self, run: str, machine: str, seconds: float, cluster: str = "aws", **fact: Any) -> None:
        """An earlier run on machines of a cloud, as its row has it."""
        with self.journal() as journal:
            first = journal.runs()[-1]
            values = first.facts["throughput"] | {"megapixels": 2.0, "seconds": 2 * seconds, "machine": machine} | fact
            with journal.transaction():
                journal.execute(
                    "INSERT INTO runs (id, pipeline, name, spec_path, spec_text, overrides, cluster, root, status, started, host,"
                    " pid, process_started, facts) SELECT ?, pipeline, name, 'gone.yaml', 'no spec', '[]', ?, root, 'done',"
                    " started + length(?), host, pid, process_started, ? FROM runs WHERE id = ?",
                    (run, cluster, run, json.dumps({"throughput": values}), first.id),
                )


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    this = Setup(tmp_path / "project")
    assert run(this.job(cluster="inline")).status == "done"
    return this


def test_a_run_writes_its_rate_with_model_and_machine_into_its_row(setup: Setup) -> None:
    with setup.journal() as journal:
        (row,) = journal.runs()
    fact = row.facts["throughput"]
    assert (row.cluster, fact["machine"], fact["megapixels"]) == ("inline", "", 2.0)
    assert 0.2 <= fact["seconds"] < 0.28, "four calls of 0.05 s on workers"
    assert len(fact["models"]) == 64


def test_the_specs_of_earlier_runs_are_not_read_again(setup: Setup) -> None:
    (setup.folder / "pipelines/job.py").write_text(
        PIPELINE.replace("regions: int", "areas: int").replace("spec.regions", "4")
    )
    with setup.journal() as journal, journal.transaction():
        journal.execute("UPDATE runs SET spec_text = 'not a spec'")
    assert "measured in" in setup.rate(cluster="aws")


def test_a_run_on_the_same_machine_type_goes_before_a_newer_one_on_another(setup: Setup) -> None:
    machine = setup.job(cluster="aws").spec.cluster.machine
    setup.earlier("a", machine, 7.0)
    setup.earlier("bb", "c7i.large", 9.0)
    assert setup.rate(cluster="aws") == f"7 s per megapixel and process, measured in a on {machine}"


def test_only_the_same_machine_type_tells_of_gpus(setup: Setup) -> None:
    assert "not known" in setup.rate(cluster="gpu")
    setup.earlier("a", "g5.xlarge", 0.5)
    assert setup.rate(cluster="gpu") == "0.5 s per megapixel and process, measured in a on g5.xlarge"


def test_a_run_of_another_model_tells_nothing(setup: Setup) -> None:
    setup.earlier("a", "g5.xlarge", 0.5, models="of another")
    assert "not known" in setup.rate(cluster="gpu")


def test_a_run_that_failed_or_mapped_almost_nothing_has_no_rate(setup: Setup) -> None:
    file = setup.folder / "pipelines/job.py"
    file.write_text(PIPELINE.replace('"megapixels": 2.0}', '"megapixels": 0.01}'))
    run(setup.job(cluster="inline"), run_id="small", fresh=True)
    file.write_text(PIPELINE.replace("    return Result", "    raise ValueError\n    return Result"))
    run(setup.job(cluster="inline"), run_id="failed", fresh=True)
    with setup.journal() as journal:
        assert journal.find("small").facts == journal.find("failed").facts == {}
        assert journal.find("failed").status == "failed"
