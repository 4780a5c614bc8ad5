from __future__ import annotations

from typing import Any

import pytest

from swath.cluster.providers.kubernetes.api import place_of
from swath.cluster.providers.kubernetes.fleet import KubernetesFleet
from swath.cluster.providers.machine import Machine
from swath.cluster.teardown import removal
from swath.errors import InfrastructureError
from swath.spec.clusters.kubernetes import KubernetesCluster


def test_machines_that_are_left_are_named_with_the_command_that_removes_them() -> None:
    left = Machine("1a2b", "swath-1", "run-1", "cluster", 0.0, "office/maps", "Running", "DaskCluster")
    error = removal.not_confirmed(KubernetesFleet("office/maps"), "run-1", [left])
    assert "kubectl --context=office --namespace=maps delete daskcluster swath-1" in error.remedy


class FakeApi:
    """Resources by kind."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {"DaskCluster": [], "Deployment": [], "Pod": []}
        self.asked: list[str] = []
        self.deleted: list[tuple[str, str]] = []
        self.stuck: set[str] = set()

    def find(self, kind: str, selector: str) -> list[dict[str, Any]]:
        self.asked.append(selector)
        return self.found[kind]

    def delete(self, kind: str, name: str) -> None:
        self.deleted.append((kind, name))
        if name in self.stuck:
            raise InfrastructureError(f"{name} is stuck")

    def log(self, pod: str, lines: int) -> str:
        return f"{lines} lines of {pod}"


def fleet() -> tuple[KubernetesFleet, FakeApi]:
    api, made = FakeApi(), KubernetesFleet("office/maps")
    made._api = api  # type: ignore[assignment]
    return made, api


def resource(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"swath-run": "r"}}, "status": status}


def test_resources_of_a_run_are_its_machines_but_for_pods_that_have_ended() -> None:
    here, api = fleet()
    cluster = resource("c", phase="Failed")
    cluster["metadata"] |= {"uid": "1a2b", "deletionTimestamp": "2026"}
    cluster["metadata"]["labels"] |= {"swath-expires": "1700000000"}
    api.found["DaskCluster"] = [cluster]
    pods = [resource(phase, phase=phase) for phase in ("Running", "Succeeded", "Failed")]
    pods[0]["metadata"]["labels"] |= {"swath-role": "worker", "swath-expires": "soon"}
    api.found["Pod"] = pods
    first, second = here.machines("r")
    assert first == Machine("1a2b", "c", "r", "cluster", 1.7e9, "office/maps", "deleted", "DaskCluster")
    assert second == Machine("Running", "Running", "r", "worker", 0.0, "office/maps", "Running", "Pod")
    here.machines()
    assert api.asked == ["swath-run=r"] * 3 + ["swath-run"] * 3


def test_owners_are_deleted_first_and_one_that_is_stuck_does_not_keep_the_others() -> None:
    here, api = fleet()
    api.stuck = {"c", "d"}
    machines = [Machine(name, name, "r", "", 0, "", "", kind) for name, kind in (("p", "Pod"), ("d", "Deployment"))]
    with pytest.raises(InfrastructureError, match="c is stuck"):
        here.terminate([*machines, Machine("c", "c", "r", "", 0, "", "", "DaskCluster")])
    assert api.deleted == [("DaskCluster", "c"), ("Deployment", "d"), ("Pod", "p")]
    api.stuck = set()
    here.terminate(machines)


def test_only_pods_have_a_console() -> None:
    here, _ = fleet()
    pod = Machine("p", "p", "r", "", 0, "", "", "Pod")
    assert here.console(pod, 7) == "7 lines of p"
    assert here.console(Machine("c", "c", "r", "", 0, "", "", "DaskCluster")) == ""
    assert KubernetesFleet("maps").removal_command(pod) == "kubectl --namespace=maps delete pod p"


def test_a_fleet_connects_once_at_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def connect(place: str) -> FakeApi:
        made.append(place)
        return FakeApi()

    monkeypatch.setattr("swath.cluster.providers.kubernetes.fleet.KubernetesApi", connect)
    here = KubernetesFleet("maps")
    assert made == []
    assert here.api is here.api
    assert made == ["maps"]


def test_a_place_has_the_context_where_one_is_named() -> None:
    spec = KubernetesCluster(kind="kubernetes", image="x", namespace="maps")
    assert place_of(spec) == "maps"
    assert place_of(spec.model_copy(update={"context": "office"})) == "office/maps"
