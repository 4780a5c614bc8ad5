"""The fleet of a cloud and place. A cloud's packages are imported only when its fleet is used."""

from __future__ import annotations

from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.machine import CloudKind


def fleet_of(kind: CloudKind, place: str) -> Fleet:
    """The fleet of a region (AWS), a project (Google Cloud) or a namespace (Kubernetes, with `CONTEXT/` before it where the
    kubeconfig's current context is not meant). Raises MissingExtra when the cloud's packages are not installed."""
    if kind == "aws":
        from swath.cluster.providers.aws.fleet import Ec2Fleet

        return Ec2Fleet(place)
    if kind == "gcp":
        from swath.cluster.providers.gcp.fleet import GceFleet

        return GceFleet(place)
    from swath.cluster.providers.kubernetes.fleet import KubernetesFleet

    return KubernetesFleet(place)
