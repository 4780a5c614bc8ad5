"""Manifests are ones that Dask's operator accepts: they are validated with its own resource definitions."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from swath.cluster.kubernetes import manifests
from swath.cluster.workers import tls
from swath.spec.clusters.kubernetes import KubernetesCluster, Toleration
from swath.spec.clusters.workers import Workers
from tests.cluster.kubernetes.conftest import definition

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


@pytest.mark.parametrize("spec", [SPEC, RICH], ids=["least", "rich"])
def test_the_operator_accepts_the_cluster(dask_cluster: Any, spec: KubernetesCluster) -> None:
    dask_cluster.validate(manifests.cluster(spec, LABEL, 1_800_000_000))


def test_the_operator_refuses_an_unknown_field(dask_cluster: Any) -> None:
    made = manifests.cluster(SPEC, LABEL, 1_800_000_000)
    made["spec"]["worker"]["spec"]["containers"][0]["imagee"] = "typo"
    with pytest.raises(jsonschema.ValidationError, match="imagee"):
        dask_cluster.validate(made)


def test_the_operator_accepts_the_autoscaler() -> None:
    owner = manifests.owner({"metadata": {"name": "swath-1", "uid": "1"}})
    assert manifests.autoscaler(SPEC.model_copy(update={"workers": Workers(min=3, max=3)}), LABEL, owner) is None
    made = manifests.autoscaler(RICH, LABEL, owner)
    assert made is not None
    definition("DaskAutoscaler").validate(made)
    assert made["spec"]["maximum"] == 8


def test_pods_have_the_resources_of_the_spec_and_no_needless_rights() -> None:
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
    security = tls.run_security()
    made = manifests.secret("maps", LABEL, security, {"name": "owner"})
    assert set(made["data"]) == {
        "ca.pem",
        *(f"{role}-{part}.pem" for role in ("scheduler", "worker") for part in ("cert", "key")),
    }
    assert "PRIVATE" not in str(manifests.cluster(RICH, LABEL, 1))


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_a_pod_sees_the_key_of_its_own_role_only(role: str) -> None:
    (volume,) = manifests.cluster(RICH, LABEL, 1)["spec"][role]["spec"]["volumes"]
    seen = {item["key"]: item["path"] for item in volume["secret"]["items"]}
    assert seen == {"ca.pem": "ca.pem", f"{role}-cert.pem": "cert.pem", f"{role}-key.pem": "key.pem"}


@pytest.mark.parametrize(
    "label", [LABEL, "x" * 63, "a_b-" * 15, "20260301-120000-a-name-that-is-rather-long-1a2b-3c4d"]
)
def test_names_are_accepted_by_the_operator(label: str) -> None:
    name = manifests.name_of(label)
    assert len(name) <= manifests.NAME_LENGTH
    assert name.replace("-", "").isalnum()
    assert name.islower()
    assert name.endswith(label[-6:].strip("_-").replace("_", "-"))


def test_a_worker_has_a_thread_and_all_the_memory_of_its_pod() -> None:
    text = str(manifests.cluster(RICH, LABEL, 1_800_000_000))
    assert "--nthreads=1" in text
    assert "--memory-limit=16000000000" in text
