"""An API server of Kubernetes with Dask's operator, whose pods are processes of this machine, and a project for it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cluster.fake_kubernetes import FakeKubernetes
from tests.test_code_shipping import write

HOST = f"127.77.0.{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
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


@pytest.fixture(scope="session")
def dask_cluster() -> Any:
    """Validates a DaskCluster."""
    return definition("DaskCluster")


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
