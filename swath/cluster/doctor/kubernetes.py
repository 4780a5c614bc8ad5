"""Findings of a cluster on Kubernetes: the API server, Dask's operator, and the rights of this account."""

from __future__ import annotations

from collections.abc import Iterator

from swath.cluster.doctor.finding import Finding, checked, fail, ok
from swath.cluster.providers.kubernetes.api import ACCESS_REVIEW, OPERATOR_GROUP, place_of
from swath.cluster.providers.kubernetes.fleet import KubernetesFleet
from swath.errors import CredentialsError
from swath.spec.clusters.kubernetes import KubernetesCluster

OPERATOR = OPERATOR_GROUP.partition("/")[0]


def check_namespace(spec: KubernetesCluster) -> Iterator[Finding]:
    """All checks. Without an API server that answers the others are left out."""
    fleet = KubernetesFleet(place_of(spec))
    first = checked("kubernetes", lambda: _listed(fleet))
    yield first
    if first.state != "fail":
        yield checked("rights", lambda: _rights(fleet, spec))


def _listed(fleet: KubernetesFleet) -> Finding:
    """Whether resources can be listed and the operator is installed: a run lists them first."""
    count = len(fleet.machines())
    return ok("kubernetes", f"{fleet.place}: the operator is there; resources of runs: {count}")


def _rights(fleet: KubernetesFleet, spec: KubernetesCluster) -> Finding:
    """Whether this account has the rights of a run. Kubernetes answers that for every account; nothing is created."""
    needed = needed_rights(spec)
    missing = [f"{verb} {resource}" for group, resource, verb in needed if not _may(fleet, group, resource, verb)]
    if missing:
        return fail(
            "rights",
            f"this account may not {', '.join(missing)}: give it the role in infra/iam/kubernetes-client.yaml",
            CredentialsError.exit_code,
        )
    return ok("rights", "; ".join(f"{verb} {resource}" for _, resource, verb in needed))


def needed_rights(spec: KubernetesCluster) -> list[tuple[str, str, str]]:
    """(group, resource, verb) of what a run creates and deletes. Listing was checked before."""
    rights = [
        (OPERATOR, "daskclusters", "create"),
        (OPERATOR, "daskclusters", "delete"),
        ("", "secrets", "create"),
        ("", "services", "list"),
        ("apps", "deployments", "delete"),
        ("", "pods", "delete"),
    ]
    if spec.workers.max > spec.workers.min:
        rights.append((OPERATOR, "daskautoscalers", "create"))
    if spec.reach == "forward":
        rights.append(("", "pods/portforward", "create"))
    return rights


def _may(fleet: KubernetesFleet, group: str, resource: str, verb: str) -> bool:
    name, _, part = resource.partition("/")
    attributes = {
        "namespace": fleet.api.namespace,
        "group": group,
        "resource": name,
        "subresource": part,
        "verb": verb,
    }
    review = {"kind": ACCESS_REVIEW, "metadata": {"name": "swath"}, "spec": {"resourceAttributes": attributes}}
    return bool(fleet.api.create(review).get("status", {}).get("allowed"))
