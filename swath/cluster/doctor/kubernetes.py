"""What a cluster on Kubernetes needs, looked at one by one: the API server, the operator, and what this account may do there."""

from __future__ import annotations

from collections.abc import Iterator

from swath.cluster.doctor.doctor import Check, fail, looked, ok
from swath.cluster.kubernetes import manifests
from swath.cluster.kubernetes.pods import REVIEW, KubernetesFleet, place_of
from swath.errors import CredentialsError
from swath.spec.clusters.kubernetes import KubernetesCluster

OPERATOR = manifests.GROUP.partition("/")[0]


def namespace(spec: KubernetesCluster) -> Iterator[Check]:
    """All checks. Without an API server that answers the rest is not looked at."""
    fleet = KubernetesFleet(place_of(spec))
    first = looked("kubernetes", lambda: _listed(fleet))
    yield first
    if first.state != "fail":
        yield looked("rights", lambda: _rights(fleet, spec))


def _listed(fleet: KubernetesFleet) -> Check:
    """The listing of what runs have there: without it, and without the operator, no run would begin."""
    there = len(fleet.machines())
    return ok("kubernetes", f"{fleet.place}: the operator is there; resources of runs: {there}")


def _rights(fleet: KubernetesFleet, spec: KubernetesCluster) -> Check:
    """Kubernetes tells everybody what they may do; nothing is made by the question."""
    wanted = needs(spec)
    missing = [f"{verb} {resource}" for group, resource, verb in wanted if not _may(fleet, group, resource, verb)]
    if missing:
        return fail(
            "rights",
            f"this account may not {', '.join(missing)}: give it the role in infra/iam/kubernetes-client.yaml",
            CredentialsError.exit_code,
        )
    return ok("rights", "; ".join(f"{verb} {resource}" for _, resource, verb in wanted))


def needs(spec: KubernetesCluster) -> list[tuple[str, str, str]]:
    """What a run makes and removes: (group, resource, verb). What it lists was listed by then."""
    found = [
        (OPERATOR, "daskclusters", "create"),
        (OPERATOR, "daskclusters", "delete"),
        ("", "secrets", "create"),
        ("", "services", "list"),
        ("apps", "deployments", "delete"),
        ("", "pods", "delete"),
    ]
    if spec.workers.max > spec.workers.min:
        found.append((OPERATOR, "daskautoscalers", "create"))
    if spec.reach == "forward":
        found.append(("", "pods/portforward", "create"))
    return found


def _may(fleet: KubernetesFleet, group: str, resource: str, verb: str) -> bool:
    name, _, part = resource.partition("/")
    asked = {
        "namespace": fleet.kubernetes.namespace,
        "group": group,
        "resource": name,
        "subresource": part,
        "verb": verb,
    }
    review = {"kind": REVIEW, "metadata": {"name": "swath"}, "spec": {"resourceAttributes": asked}}
    return bool(fleet.kubernetes.make(review).get("status", {}).get("allowed"))
