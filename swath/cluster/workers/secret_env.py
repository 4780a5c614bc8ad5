"""Variables of `cluster.env` that are secrets: workers get them over the run's TLS connection, not by user data or a pod's manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from swath.spec.clusters.cloud import AwsCluster, CloudCluster, GcpCluster, names_secret
from swath.spec.clusters.kubernetes import KubernetesCluster

ClusterSpec = TypeVar("ClusterSpec", CloudCluster, KubernetesCluster, AwsCluster | GcpCluster)

_SHORTEST_PART = 4
"""A shorter secret is a part of many values that have nothing to do with it."""


def without_secrets(spec: ClusterSpec, secrets: Collection[str]) -> tuple[ClusterSpec, Mapping[str, str]]:
    """A cluster without the variables that are secrets, and those variables.

    A variable is one when its name says so, or its value holds one of `secrets`, the values that a spec has from the environment.
    """
    secret = {name: value for name, value in spec.env.items() if names_secret(name) or _holds(value, secrets)}
    plain = {name: value for name, value in spec.env.items() if name not in secret}
    return spec.model_copy(update={"env": plain}), secret


def _holds(value: str, secrets: Collection[str]) -> bool:
    return value in secrets or any(each in value for each in secrets if len(each) >= _SHORTEST_PART)
