"""A project's own code on workers that have not the project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import swath
from tests.cluster.conftest import ROOT, Theirs
from tests.test_code_shipping import FILES, write

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
def test_workers_of_somebody_else_run_it_too_and_a_changed_file_at_once(
    project: Path, theirs: Callable[..., Theirs]
) -> None:
    there = theirs()
    there.worker()
    assert run(project, there.address)[0] == RESULT
    (project / "lib" / "inner" / "lazy.py").write_text("def name(): return 'changed'")
    assert run(project, there.address)[0] == [*RESULT[:3], "changed", *RESULT[4:]]


@pytest.mark.slow
def test_code_that_a_killed_client_left_behind_is_not_in_the_way(project: Path, theirs: Callable[..., Theirs]) -> None:
    there = theirs()
    there.worker()
    script = f"""
import time
from pathlib import Path
from swath.cluster.contract import cluster_of
from swath.project.registry import Registry
from swath.spec.clusters.cluster import AddressCluster
Registry.discover([Path({str(project / "pipelines")!r})])
with cluster_of(AddressCluster(url={there.address!r}), Path("/nowhere")):
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
    time.sleep(0.5)  # the scheduler sees the closed connection
    assert run(project, there.address)[0][1] == "beside another"
