"""Specs of clusters: in a simulated cloud, or of a project that does not exist."""

from __future__ import annotations

from typing import Any

from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from tests.clouds.control import Cloud


def ec2_spec(cloud: Cloud, **fields: Any) -> AwsCluster:
    """A cluster with one process per machine, in the network of a simulated EC2."""
    network = cloud.network
    defaults = {
        "kind": "aws",
        "region": network["region"],
        "image": "acme/swath:1",
        "machine_image": network["image"],
        "subnet": network["subnet"],
        "security_groups": [network["security_group"]],
        "processes": 1,
        "start_timeout_s": 60,
    }
    return AwsCluster(**defaults | fields)


def gce_spec(cloud: Cloud, **fields: Any) -> GcpCluster:
    """A cluster with one process per machine, in the project of a simulated Compute Engine."""
    place = {"project": cloud.network["project"], "zone": cloud.network["zone"], "machine_image": "swath"}
    return gcp_spec(**{**place, "processes": 1, "workers": {"min": 1, "max": 2}, "start_timeout_s": 60, **fields})


def gcp_spec(**fields: Any) -> GcpCluster:
    """A cluster of a project that does not exist."""
    defaults = {"project": "acme-maps", "zone": "europe-west4-a", "image": "ghcr.io/acme/swath:1"}
    return GcpCluster(kind="gcp", **{**defaults, **fields})
