"""A project's own code on workers that do not have the project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import distributed
import pytest

import swath
from tests.cluster.conftest import ROOT, ExternalCluster
from tests.test_code_shipping import FILES, write
from tests.waiting import until

RESULT = ["near", "beside far", "deep back", "lazy", 0, "0"]


def run(root: Path, cluster: str) -> Any:
    spec = root / "spec.yaml"
    spec.write_text(f"pipeline: job\ncluster: {cluster}\n")
    outcome = swath.run(swath.load(spec), fresh=True)
    assert outcome.exit_code == 0, outcome
    return list(outcome.result)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir("/")
    return write(tmp_path / "project", FILES)


def test_a_local_cluster_runs_what_a_pipeline_imports_of_its_project(project: Path) -> None:
    assert run(project, "{kind: local, workers: 1}")[0] == RESULT


@pytest.mark.slow
def test_workers_of_an_external_cluster_run_it_too_and_a_changed_file_at_once(
    project: Path, external_cluster: Callable[..., ExternalCluster]
) -> None:
    there = external_cluster()
    there.worker()
    assert run(project, there.address)[0] == RESULT
    (project / "lib" / "inner" / "lazy.py").write_text("def name(): return 'changed'")
    assert run(project, there.address)[0] == [*RESULT[:3], "changed", *RESULT[4:]]


@pytest.mark.slow
def test_code_of_a_killed_client_does_not_get_in_the_way(
    project: Path, external_cluster: Callable[..., ExternalCluster]
) -> None:
    there = external_cluster()
    there.worker()
    script = f"""
import time
from pathlib import Path
from swath.cluster.open import open_cluster
from swath.project.registry import Registry
from swath.spec.clusters.cluster import AddressCluster
Registry.discover([Path({str(project / "pipelines")!r})])
with open_cluster(AddressCluster(url={there.address!r}), Path("/nowhere")):
    print("up", flush=True)
    time.sleep(60)
"""
    client = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == "up\n"
        client.send_signal(signal.SIGKILL)
        client.wait()
    (project / "far.py").write_text("NAME = 'another'")
    with distributed.Client(
        there.address, set_as_default=False
    ) as client:  # the scheduler has seen the closed connection
        until(lambda: client.run_on_scheduler(_clients) == [client.id])
    assert run(project, there.address)[0][1] == "beside another"


def _clients(dask_scheduler: Any) -> list[str]:
    return sorted(set(dask_scheduler.clients) - {"fire-and-forget"})
