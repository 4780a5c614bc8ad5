"""Runs on pods: they come up with TLS, and nothing is left of them, also when the client is killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from swath.engine.journal import Journal
from swath.project.project import Project
from tests.cluster.conftest import ROOT
from tests.cluster.fake_kubernetes import FakeKubernetes
from tests.waiting import until


def pipe_run(project: Path, crash_at: str = "", **more: object) -> subprocess.CompletedProcess[str]:
    """`pipe run`, in a process of its own as always: kr8s keeps its connections until the process ends."""
    cluster = {
        "kind": "kubernetes", "namespace": "maps", "image": "swath:1", "workers": 1, "reach": "load_balancer",
        "start_timeout_s": 60, **more,
    }  # fmt: skip
    spec = {"pipeline": "squares", "n": 5, "to": str(project / "squares.txt"), "cluster": cluster}
    (project / "spec.yaml").write_text(yaml.safe_dump(spec))
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    if crash_at:
        environment["SWATH_CRASH_AT"] = crash_at
    command = [sys.executable, "-m", "swath.cli", "run", "spec.yaml"]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def leases(project: Path) -> list[str]:
    with Journal.open(Project.find(project / "spec.yaml").state) as journal:
        return [lease.id for lease in journal.leases()]


@pytest.mark.slow
def test_a_run_on_pods_uses_tls_and_leaves_nothing(fake: FakeKubernetes, project: Path) -> None:
    done = pipe_run(project)
    assert done.returncode == 0, done.stderr
    assert (project / "squares.txt").read_text() == "[0, 1, 4, 9, 16]"
    assert (fake.all(), leases(project)) == ([], [])
    assert {kind for method, kind in fake.calls if method == "POST"} == {"daskclusters", "secrets"}


@pytest.mark.slow
def test_pods_that_never_start_are_an_error_with_their_state(fake: FakeKubernetes, project: Path) -> None:
    fake.starts = False
    done = pipe_run(project, start_timeout_s=2)
    assert done.returncode == 5
    assert re.search(r"was not up after 2 s: pod swath-\S+ is Pending", done.stderr)
    assert (fake.all(), leases(project)) == ([], [])


@pytest.mark.slow
def test_a_missing_right_is_an_error_with_the_role_that_has_it(fake: FakeKubernetes, project: Path) -> None:
    fake.refuse = ("POST", 403)
    done = pipe_run(project)
    assert done.returncode == 4
    assert "infra/iam/kubernetes-client.yaml" in done.stderr
    assert (fake.all(), leases(project)) == ([], [])


@pytest.mark.slow
def test_a_killed_client_leaves_nothing_either(fake: FakeKubernetes, project: Path) -> None:
    done = pipe_run(project, crash_at="launched")
    assert done.returncode == -9
    assert ("POST", "daskclusters") in fake.calls
    until(lambda: not leases(project), 30)  # the guardian ends it last
    assert fake.all() == []
