from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from swath.cluster.doctor import kubernetes
from swath.cluster.doctor.kubernetes import check_namespace, needed_rights
from swath.errors import InfrastructureError
from swath.spec.clusters.kubernetes import KubernetesCluster
from tests.cluster.conftest import ROOT
from tests.cluster.fake_kubernetes import FakeKubernetes
from tests.cluster.kubernetes.conftest import dask_cluster, fake, project

__all__ = ["dask_cluster", "fake", "project"]
SPEC = KubernetesCluster(kind="kubernetes", namespace="maps", image="ghcr.io/acme/swath:1")


def doctor(project: Path, code: int, **more: object) -> dict[str, dict[str, str]]:
    """What `pipe doctor` says of the cluster, by what it looked at."""
    cluster = {"kind": "kubernetes", "namespace": "maps", "image": "swath:1", **more}
    settings = {"results": f"local://{project.parent}/results", "clusters": {"pods": cluster}}
    (project / "swath.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "swath.cli", "doctor", "--cluster", "pods", "--json"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


@pytest.mark.slow
def test_the_doctor_checks_operator_and_rights_and_creates_nothing(fake: FakeKubernetes, project: Path) -> None:
    found = doctor(project, 5)
    assert (found["kubernetes"]["state"], found["rights"]["state"]) == ("ok", "ok")
    assert "portforward" in found["rights"]["message"]
    assert found["bucket"]["state"] == "fail", "pods would not see a folder of this machine"
    assert (fake.all(), [kind for method, kind in fake.calls if method == "POST" and kind]) == ([], [])


@pytest.mark.slow
def test_the_doctor_names_a_missing_operator_and_missing_rights(fake: FakeKubernetes, project: Path) -> None:
    fake.forbidden = ("create secrets",)
    found = doctor(project, 4)
    assert "may not create secrets" in found["rights"]["message"]
    assert "infra/iam/kubernetes-client.yaml" in found["rights"]["message"]
    fake.installed = False
    found = doctor(project, 5)
    assert found["kubernetes"]["state"] == "fail"
    assert "install Dask's operator" in found["kubernetes"]["message"]
    assert "rights" not in found


def test_the_rights_that_the_doctor_asks_for_are_those_of_the_role() -> None:
    role = yaml.safe_load((ROOT / "infra/iam/kubernetes-client.yaml").read_text())
    given = {
        (group, kind, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    asked = set(needed_rights(SPEC))
    assert asked <= given
    assert {each for each in given if each[2] in ("create", "delete")} <= asked


@pytest.mark.parametrize("forbidden", [(), ("create secrets", "create pods/portforward")])
def test_rights_that_the_server_denies_are_named(monkeypatch: pytest.MonkeyPatch, forbidden: tuple[str, ...]) -> None:
    def review(resource: dict[str, Any]) -> dict[str, Any]:
        asked = resource["spec"]["resourceAttributes"]
        name = f"{asked['verb']} {asked['resource']}" + (f"/{asked['subresource']}" if asked["subresource"] else "")
        return {"status": {"allowed": name not in forbidden}}

    fleet = SimpleNamespace(place="maps", machines=lambda: [], api=SimpleNamespace(namespace="maps", create=review))
    monkeypatch.setattr(kubernetes, "KubernetesFleet", lambda place: fleet)
    listed, rights = check_namespace(SPEC.model_copy(update={"reach": "forward"}))
    assert (listed.state, rights.state) == ("ok", "fail" if forbidden else "ok")
    if forbidden:
        assert f"this account may not {', '.join(forbidden)}:" in rights.message
        assert rights.exit_code == 4


def test_without_a_server_that_answers_rights_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[Any]:
        raise InfrastructureError("no answer")

    monkeypatch.setattr(kubernetes, "KubernetesFleet", lambda place: SimpleNamespace(machines=fail))
    [found] = check_namespace(SPEC)
    assert (found.what, found.state) == ("kubernetes", "fail")
