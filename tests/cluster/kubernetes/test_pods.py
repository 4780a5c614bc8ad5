"""Clusters on Kubernetes: what the operator is asked for is what it takes, and nothing is left of it.

The operator's own resource definitions are compared with; the API server is a fake whose pods are real processes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from swath.cluster.doctor.kubernetes import needs
from swath.cluster.kubernetes import manifests
from swath.cluster.kubernetes.pods import KubernetesFleet
from swath.cluster.providers.machine import Machine
from swath.cluster.teardown import removal
from swath.cluster.workers import tls
from swath.engine.journal import Journal
from swath.project.project import Project
from swath.spec.clusters.kubernetes import KubernetesCluster, Toleration
from swath.spec.clusters.workers import Workers
from tests.cluster.conftest import ROOT
from tests.cluster.fake_kubernetes import FakeKubernetes
from tests.test_code_shipping import write

HOST = f"127.77.0.{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
LABEL = "20260301-120000-bahamas-1a2b-3c4d"
SPEC = KubernetesCluster(kind="kubernetes", namespace="maps", image="ghcr.io/acme/swath:1")
RICH = KubernetesCluster(
    kind="kubernetes",
    namespace="maps",
    image="ghcr.io/acme/swath:1",
    workers=Workers(min=1, max=8),
    cpu=2.5,
    memory_gb=16,
    gpus=1,
    service_account="reader",
    env={"NAME": 'it\'s "quoted" $HOME'},
    node_selector={"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"},
    tolerations=[Toleration(key="nvidia.com/gpu", effect="NoSchedule"), Toleration(key="team", value="maps")],
    reach="load_balancer",
)
JOB = """
from pathlib import Path
from swath import Spec, pipeline, task

class Job(Spec):
    n: int = 1
    to: str

@task
def square(x):
    return x * x

@task
def keep(squares, *, to):
    Path(to).write_text(str(list(squares)))

@pipeline
def squares(spec: Job):
    return keep(square.map(range(spec.n)), to=spec.to)
"""


def definition(kind: str) -> Any:
    """The schema of a resource as the operator's package brings it; a field that it does not name is a mistake."""
    found = importlib.util.find_spec("dask_kubernetes")
    if found is None or found.origin is None or importlib.util.find_spec("kr8s") is None:
        message = "there is no dask-kubernetes or kr8s"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    folder = Path(found.origin).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"
    (version,) = yaml.load((folder / f"{kind.lower()}.yaml").read_text(), yaml.CSafeLoader)["spec"]["versions"]
    schema: dict[str, Any] = strict(version["schema"]["openAPIV3Schema"])
    whole = {**schema, "properties": {**schema["properties"], "metadata": {}, "apiVersion": {}, "kind": {}}}
    return jsonschema.Draft202012Validator(whole)


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.fixture(scope="module")
def dask_cluster() -> Any:
    return definition("DaskCluster")


@pytest.mark.parametrize("spec", [SPEC, RICH], ids=["least", "rich"])
def test_the_operator_takes_the_cluster(dask_cluster: Any, spec: KubernetesCluster) -> None:
    dask_cluster.validate(manifests.cluster(spec, LABEL, 1_800_000_000))


def test_the_operator_would_not_take_anything(dask_cluster: Any) -> None:
    made = manifests.cluster(SPEC, LABEL, 1_800_000_000)
    made["spec"]["worker"]["spec"]["containers"][0]["imagee"] = "typo"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        dask_cluster.validate(made)


def test_the_operator_takes_the_autoscaler() -> None:
    owner = manifests.owner({"metadata": {"name": "swath-1", "uid": "1"}})
    assert manifests.autoscaler(SPEC.model_copy(update={"workers": Workers(min=3, max=3)}), LABEL, owner) is None
    made = manifests.autoscaler(RICH, LABEL, owner)
    assert made is not None
    definition("DaskAutoscaler").validate(made)
    assert made["spec"]["maximum"] == 8


def test_pods_have_what_the_spec_asks_for_and_no_right_that_they_do_not_need() -> None:
    spec = manifests.cluster(RICH, LABEL, 1_800_000_000)["spec"]
    worker, scheduler = spec["worker"]["spec"], spec["scheduler"]["spec"]
    (container,) = worker["containers"]
    assert container["resources"]["limits"] == {"cpu": "2.5", "memory": "16000000000", "nvidia.com/gpu": "1"}
    assert {"name": "NAME", "value": 'it\'s "quoted" $HOME'} in container["env"]
    assert worker["nodeSelector"] == RICH.node_selector
    assert [each["operator"] for each in worker["tolerations"]] == ["Exists", "Equal"]
    assert "nodeSelector" not in scheduler
    for pod in (worker, scheduler):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_keys_are_only_in_the_secret() -> None:
    security = tls.for_this_run()
    made = manifests.secret("maps", LABEL, security, {"name": "owner"})
    assert set(made["data"]) == {"ca.pem", "cert.pem", "key.pem"}
    assert "PRIVATE" not in str(manifests.cluster(RICH, LABEL, 1))


@pytest.mark.parametrize(
    "label", [LABEL, "x" * 63, "a_b-" * 15, "20260301-120000-a-name-that-is-rather-long-1a2b-3c4d"]
)
def test_names_are_ones_that_the_operator_takes(label: str) -> None:
    name = manifests.name_of(label)
    assert len(name) <= manifests.NAME_LENGTH
    assert name.replace("-", "").isalnum()
    assert name.islower()
    assert name.endswith(label[-6:].strip("_-").replace("_", "-"))


# With an API server


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dask_cluster: Any) -> Iterator[FakeKubernetes]:
    def check(resource: dict[str, Any]) -> None:
        if resource["kind"] == "DaskCluster":
            dask_cluster.validate(resource)

    folder = tmp_path / "kubernetes"
    folder.mkdir()
    made = FakeKubernetes(folder, HOST, check)
    monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig))
    monkeypatch.setenv("SWATH_CLOUD_QUIET_S", "0.2")
    monkeypatch.setenv("FSSPEC_LOCAL_AUTO_MKDIR", "true")  # a folder as a bucket
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    # Pods are processes of this machine, and see its disk; the spec's rules need an address all the same.
    settings = f"results: local://{tmp_path}/results\n"
    return write(tmp_path / "project", {"swath.yaml": settings, "pipelines/job.py": JOB})


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
def test_a_run_comes_up_on_pods_with_tls_and_leaves_nothing(fake: FakeKubernetes, project: Path) -> None:
    done = pipe_run(project)
    assert done.returncode == 0, done.stderr
    assert (project / "squares.txt").read_text() == "[0, 1, 4, 9, 16]"
    assert (fake.all(), leases(project)) == ([], [])
    assert {kind for method, kind in fake.calls if method == "POST"} == {"daskclusters", "secrets"}


@pytest.mark.slow
def test_pods_that_never_start_end_with_what_is_known_of_them(fake: FakeKubernetes, project: Path) -> None:
    fake.starts = False
    done = pipe_run(project, start_timeout_s=2)
    assert done.returncode == 5
    assert re.search(r"was not up after 2 s: pod swath-\S+ is Pending", done.stderr)
    assert (fake.all(), leases(project)) == ([], [])


@pytest.mark.slow
def test_what_is_not_allowed_is_told_with_what_is_needed(fake: FakeKubernetes, project: Path) -> None:
    fake.refuse = ("POST", 403)
    done = pipe_run(project)
    assert done.returncode == 4
    assert "infra/iam/kubernetes-client.yaml" in done.stderr
    assert (fake.all(), leases(project)) == ([], [])


@pytest.mark.slow
def test_a_client_that_is_killed_leaves_nothing_either(fake: FakeKubernetes, project: Path) -> None:
    done = pipe_run(project, crash_at="made")
    assert done.returncode == -9
    assert ("POST", "daskclusters") in fake.calls
    deadline = time.monotonic() + 30
    while leases(project):  # the guardian ends it last
        assert time.monotonic() < deadline, fake.all()
        time.sleep(0.1)
    assert fake.all() == []


def test_what_stays_is_named_with_the_command_that_removes_it() -> None:
    left = Machine("1a2b", "swath-1", LABEL, "cluster", 0.0, "office/maps", "Running", "DaskCluster")
    error = removal.not_confirmed(KubernetesFleet("office/maps"), LABEL, [left])
    assert "kubectl --context=office --namespace=maps delete daskcluster swath-1" in error.remedy


# The doctor


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
def test_the_doctor_finds_operator_and_rights_and_makes_nothing(fake: FakeKubernetes, project: Path) -> None:
    found = doctor(project, 5)
    assert (found["kubernetes"]["state"], found["rights"]["state"]) == ("ok", "ok")
    assert "portforward" in found["rights"]["said"]
    assert found["bucket"]["state"] == "fail", "pods would not see a folder of this machine"
    assert (fake.all(), [kind for method, kind in fake.calls if method == "POST" and kind]) == ([], [])


@pytest.mark.slow
def test_the_doctor_names_a_missing_operator_and_missing_rights(fake: FakeKubernetes, project: Path) -> None:
    fake.forbidden = ("create secrets",)
    found = doctor(project, 4)
    assert "may not create secrets" in found["rights"]["said"]
    assert "infra/iam/kubernetes-client.yaml" in found["rights"]["said"]
    fake.installed = False
    found = doctor(project, 5)
    assert found["kubernetes"]["state"] == "fail"
    assert "install Dask's operator" in found["kubernetes"]["said"]
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
    asked = set(needs(SPEC))
    assert asked <= given
    assert {each for each in given if each[2] in ("create", "delete")} <= asked
