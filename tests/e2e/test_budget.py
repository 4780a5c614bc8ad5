"""A run in a (simulated) cloud that is about to cost more than its budget: stopped, resumable, and no machine left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swath.engine.journal import Journal
from tests.clouds.control import Cloud
from tests.clouds.plugin import gce_cloud, gce_process
from tests.imagery.servers import simulated_gs
from tests.process import Pipe

pytestmark = pytest.mark.slow
__all__ = ["gce_cloud", "gce_process"]

PIPELINE = """
import time
from swath import Spec, pipeline, task

@task
def work():
    time.sleep(100)

@pipeline
def job(spec: Spec):
    return work()
"""


def test_a_run_is_stopped_before_it_costs_more_than_its_budget(gce_cloud: Cloud, pipe: Pipe, tmp_path: Path) -> None:
    (pipe.folder / "pipelines").mkdir()
    (pipe.folder / "pipelines" / "job.py").write_text(PIPELINE)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "here").write_text("a bucket is there when something is in it")
    zone = gce_cloud.network["zone"]
    with simulated_gs(tmp_path / "served", tmp_path / "gs") as store:
        # A worker costs 1 USD per second: 120 USD at least, if the run were over at once, and 180 as soon as it is there.
        free = {"disk_gb_month": 0, "address_hour": 0, "machines": {"n2-standard-4": 3600, "e2-medium": 0}}
        cluster: dict[str, Any] = {
            "kind": "gcp",
            "project": gce_cloud.network["project"],
            "zone": zone,
            "image": "ghcr.io/acme/swath:1",
            "machine_image": "swath",
            "workers": 1,
            "processes": 1,
            "env": store,
        }
        home = {"prices": {"gcp": {zone.rpartition("-")[0]: free}}, "results": "gs://pixels/results"}
        (pipe.folder / "swath.yaml").write_text(json.dumps(home))
        (pipe.folder / "spec.yaml").write_text(json.dumps({"pipeline": "job", "cluster": cluster, "budget": "150 USD"}))
        pipe.env.update(store, **gce_cloud.environment, SWATH_CLOUD_PACE_S="0.2", SWATH_CLOUD_QUIET_S="1")
        done = pipe("run", "spec.yaml", code=1)
    assert "of its budget of 150 USD; go on with: pipe resume" in done.err
    assert gce_cloud.empty()
    with Journal.open(pipe.folder / ".swath") as journal:
        (run,) = journal.runs()
        assert run.status == "over budget"
        assert journal.leases() == []
