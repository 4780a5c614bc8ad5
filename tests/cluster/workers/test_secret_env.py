"""Secrets in cluster.env are told from other variables, and are in no user data, no manifest and no text of the plugin."""

from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.cloud.launch_requests import LaunchRequests
from swath.cluster.kubernetes import manifests
from swath.cluster.workers import tls
from swath.cluster.workers.secret_env import without_secrets
from swath.cluster.workers.setup import WorkerSetup
from swath.code_shipping import ProjectCode
from swath.spec.clusters.cloud import AwsCluster
from swath.spec.clusters.kubernetes import KubernetesCluster

HIDDEN = "hunter2hunter2"
ENV = {
    "GDAL_CACHEMAX": "512",
    "SIGNER": f"https://sign.example/?key={HIDDEN}",
    "PLAIN_NAME": HIDDEN,
    "API_TOKEN": "written out",
    "DIGIT": "7",
}
AWS = {"kind": "aws", "image": "i", "region": "eu-central-1", "security_groups": ["sg-1"], "secret_env": True}


def aws(**fields: Any) -> AwsCluster:
    return AwsCluster.model_validate({**AWS, **fields})


def test_values_from_the_environment_and_names_of_secrets_are_told_from_other_variables() -> None:
    spec, secret = without_secrets(aws(env=ENV), (HIDDEN, "512!", "1"))
    assert spec.env == {"GDAL_CACHEMAX": "512", "DIGIT": "7"}
    assert secret == {name: ENV[name] for name in ("SIGNER", "PLAIN_NAME", "API_TOKEN")}
    assert without_secrets(aws(env=ENV), ("7", ""))[1].keys() == {"API_TOKEN", "DIGIT"}


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_no_secret_is_in_the_user_data_of_a_machine(role: str) -> None:
    spec, _ = without_secrets(aws(env=ENV), (HIDDEN,))

    class Provider:
        power_off_terminates, gpus = True, False

    requests = LaunchRequests(spec, "r-1", Provider(), tls.run_security(), 2e9)  # type: ignore[arg-type]
    data = requests.request("m", role, "tls://10.0.0.1:8786").user_data
    assert HIDDEN not in data
    assert "API_TOKEN" not in data
    assert ("GDAL_CACHEMAX=512" in data) == (role == "worker")


def test_no_secret_is_in_the_manifests_of_pods() -> None:
    document = {"kind": "kubernetes", "image": "i", "env": ENV, "secret_env": True}
    spec, _ = without_secrets(KubernetesCluster.model_validate(document), (HIDDEN,))
    text = repr(manifests.cluster(spec, "r-1", 2_000_000_000))
    assert HIDDEN not in text
    assert "API_TOKEN" not in text
    assert "GDAL_CACHEMAX" in text


def test_the_text_of_the_plugin_has_no_value() -> None:
    assert HIDDEN not in repr(WorkerSetup("owner", ProjectCode.loaded(), {"PLAIN_NAME": HIDDEN}))


@pytest.mark.parametrize(("secret", "hidden"), [("abc", False), ("abcd", True)])
def test_a_secret_of_four_characters_is_looked_for_within_values(secret: str, hidden: bool) -> None:
    assert bool(without_secrets(aws(env={"PLACE": f"x{secret}x"}), (secret,))[1]) is hidden
    assert without_secrets(aws(env={"PLACE": secret}), (secret,))[1], "a whole value is hidden however short it is"
