"""Runs on pods: they come up with TLS, and nothing is left of them, also when the client is killed. In memory: the steps of a start,
the ways to the scheduler, and what is said of pods that do not come up."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from swath.cluster.contract import RunContext
from swath.cluster.kubernetes import pods as module
from swath.cluster.kubernetes.pods import KubernetesPods, pod_state
from swath.cluster.workers.tls import run_security
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.errors import InfrastructureError, Interrupted
from swath.project.project import Project
from swath.spec.clusters.kubernetes import KubernetesCluster
from tests.cluster.conftest import ROOT
from tests.cluster.fake_kubernetes import FakeKubernetes
from tests.waiting import until


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
def test_a_run_on_pods_uses_tls_and_leaves_nothing(fake: FakeKubernetes, project: Path) -> None:
    done = pipe_run(project)
    assert done.returncode == 0, done.stderr
    assert (project / "squares.txt").read_text() == "[0, 1, 4, 9, 16]"
    assert (fake.all(), leases(project)) == ([], [])
    assert {kind for method, kind in fake.calls if method == "POST"} == {"daskclusters", "secrets"}


@pytest.mark.slow
def test_pods_that_never_start_are_an_error_with_their_state(fake: FakeKubernetes, project: Path) -> None:
    fake.starts = False
    done = pipe_run(project, start_timeout_s=2)
    assert done.returncode == 5
    assert re.search(r"was not up after 2 s: pod swath-\S+ is Pending", done.stderr)
    assert (fake.all(), leases(project)) == ([], [])


@pytest.mark.slow
def test_a_missing_right_is_an_error_with_the_role_that_has_it(fake: FakeKubernetes, project: Path) -> None:
    fake.refuse = ("POST", 403)
    done = pipe_run(project)
    assert done.returncode == 4
    assert "infra/iam/kubernetes-client.yaml" in done.stderr
    assert (fake.all(), leases(project)) == ([], [])


@pytest.mark.slow
def test_a_killed_client_leaves_nothing_either(fake: FakeKubernetes, project: Path) -> None:
    done = pipe_run(project, crash_at="launched")
    assert done.returncode == -9
    assert ("POST", "daskclusters") in fake.calls
    until(lambda: not leases(project), 30)  # the guardian ends it last
    assert fake.all() == []


# --- in memory


SECURITY = run_security()


class FakeApi:
    """Resources by kind, and what was done."""

    namespace = "maps"

    def __init__(self, done: list[Any]) -> None:
        self.done = done
        self.found: dict[str, list[dict[str, Any]]] = {
            "Service": [{"status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.9"}]}}}],
            "Pod": [{"metadata": {"name": "p"}, "status": {"phase": "Running"}}],
        }

    def create(self, resource: dict[str, Any]) -> dict[str, Any]:
        self.done.append(resource["kind"])
        self.last = resource
        return {"metadata": {"name": resource["metadata"]["name"], "uid": "u"}}

    def find(self, kind: str, selector: str) -> list[dict[str, Any]]:
        assert selector.startswith("swath-run=r-")
        return self.found[kind]

    @contextlib.contextmanager
    def forwarded(self, service: str, port: int) -> Iterator[int]:
        self.done.append((service.rpartition("-")[2], port))
        yield 4321
        self.done.append("end of forwarding")


class Steps:
    """Everything that a cluster of pods is made of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journal: Journal) -> None:
        self.done: list[Any] = []
        self.api = FakeApi(self.done)
        self.stop = Stop()
        self.refusals = 0
        self.timeouts: list[float] = []
        self.workers = 2
        self.context = RunContext("r", journal, self.stop, lambda level, text: self.done.append((level, text)))
        session = SimpleNamespace(
            workers=2,
            executor=lambda on_output, check: "executor",
            check_late_joiners=lambda: self.done.append("late"),
            check_resources=lambda requested, workers_return: self.done.append((requested, workers_return)),
            check_store=lambda store: self.done.append("store"),
        )
        monkeypatch.setattr(module, "leased", lambda lease, context: self.step("leased"))
        monkeypatch.setattr(module, "KubernetesApi", lambda place: self.api)
        monkeypatch.setattr(module, "connect", self.connect)
        monkeypatch.setattr(module, "session", lambda *_, **options: self.step("session", session))
        monkeypatch.setattr(module, "quiet_dask", lambda: self.step("quiet"))
        monkeypatch.setattr(module.tls, "run_security", lambda: SECURITY)
        monkeypatch.setattr(module, "POLL_S", 0.01)

    @contextlib.contextmanager
    def step(self, name: str, value: Any = None) -> Iterator[Any]:
        self.done.append(name)
        try:
            yield value
        finally:
            self.done.append(f"end of {name}")

    def connect(self, address: str, security: Any, timeout_s: float) -> Any:
        self.timeouts.append(timeout_s)
        if self.refusals:
            self.refusals -= 1
            raise TimeoutError if self.refusals % 2 else OSError
        workers = {"workers": dict.fromkeys(range(self.workers))}
        return self.step(address, SimpleNamespace(scheduler_info=lambda n_workers: workers))

    def open(self, **fields: Any) -> KubernetesPods:
        known = {"image": "swath:1", "namespace": "maps", "workers": 2, "reach": "inside", "start_timeout_s": 30}
        return KubernetesPods(KubernetesCluster(kind="kubernetes", **known | fields), self.context)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Steps]:
    with Journal.open(tmp_path) as journal:
        yield Steps(monkeypatch, journal)


def test_the_cluster_is_made_first_and_the_lease_ends_last(steps: Steps) -> None:
    steps.refusals = 2
    closed = steps.open()
    assert (closed.address, closed.workers) == ("", 0)
    with closed as pods:
        address = f"tls://{steps.api.last['metadata']['name'].removesuffix('-tls')}-scheduler.maps.svc:8786"
        assert (pods.address, pods.workers) == (address, 2)
        assert steps.done == ["leased", "DaskCluster", "Secret", "quiet", address, "session"]
        steps.done.clear()
        assert pods.executor(lambda *_: None, steps.stop) == "executor"
        pods.check({"cpu": 1})
        pods.check_store(None)  # type: ignore[arg-type]
        assert steps.done == ["late", ({"cpu": 1}, True), "store"]
        pods._warn("slow")
        assert steps.done[-1] == ("warning", "slow")
    assert steps.done[-4:] == ["end of session", f"end of {address}", "end of quiet", "end of leased"]
    assert len(steps.timeouts) == 3
    assert all(each == module.CONNECT_S for each in steps.timeouts)


def test_an_elastic_cluster_has_an_autoscaler_and_an_expiry(steps: Steps) -> None:
    with steps.open(workers={"min": 1, "max": 4}, max_hours=2):
        assert steps.done[1:4] == ["DaskCluster", "Secret", "DaskAutoscaler"]
    made: list[dict[str, Any]] = []
    steps.api.create = lambda resource: made.append(resource) or {"metadata": {"name": "x", "uid": "u"}}  # type: ignore[assignment, func-returns-value]
    with steps.open(max_hours=2):
        expires = int(made[0]["metadata"]["labels"]["swath-expires"])
    assert 2 * 3600 - 60 < expires - time.time() <= 2 * 3600


@pytest.mark.parametrize(
    ("reach", "ingress", "address"),
    [
        ("forward", None, "tls://127.0.0.1:4321"),
        ("load_balancer", {"ip": "10.0.0.9"}, "tls://10.0.0.9:8786"),
        ("load_balancer", {"hostname": "lb.example", "ip": "10.0.0.9"}, "tls://lb.example:8786"),
    ],
)
def test_the_scheduler_is_reached_as_the_spec_says(
    steps: Steps, reach: str, ingress: dict[str, str] | None, address: str
) -> None:
    steps.api.found["Service"] = [{"status": {"loadBalancer": {"ingress": [ingress]}}}]
    with steps.open(reach=reach) as pods:
        assert pods.address == address
    assert (("scheduler", 8786) in steps.done) is (reach == "forward")


def test_a_service_is_awaited_with_the_address_that_is_needed(steps: Steps) -> None:
    pods = steps.open(reach="load_balancer")
    pods._api = steps.api  # type: ignore[assignment]
    steps.api.found["Service"] = []
    assert pods._service() is None
    steps.api.found["Service"] = [{}, {"status": {"loadBalancer": {}}}]
    assert pods._service() is None
    inside = steps.open(reach="inside")
    inside._api = steps.api  # type: ignore[assignment]
    assert inside._service() == {}
    steps.api.found["Pod"] = [{"status": {"phase": "Pending"}}, {}]
    assert not pods._scheduler_runs()
    steps.api.found["Pod"].append({"status": {"phase": "Running"}})
    assert pods._scheduler_runs()


def test_a_run_that_is_asked_to_stop_waits_for_no_pod(steps: Steps) -> None:
    steps.stop.request(Interrupted("Ctrl-C"))
    with pytest.raises(Interrupted), steps.open():
        raise AssertionError("it is not up")
    assert steps.done[-1] == "end of leased"


@pytest.mark.parametrize(("pods", "said"), [(True, "pod p is Running"), (False, "the operator has created no pods")])
def test_a_cluster_that_is_not_up_in_time_is_an_error_with_the_state_of_its_pods(
    steps: Steps, pods: bool, said: str
) -> None:
    steps.workers = 1
    if not pods:
        steps.api.found["Pod"] = []
    cluster = steps.open()
    cluster._spec = cluster._spec.model_copy(update={"start_timeout_s": 0.05})
    with pytest.raises(InfrastructureError, match=f"was not up after 0.05 s: {said}"), cluster:
        raise AssertionError("it is not up")
    assert steps.timeouts == [1.0], "an attempt to connect has a second at least"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "pod p is unknown"),
        ({"phase": "Pending"}, "pod p is Pending"),
        (
            {
                "phase": "Pending",
                "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}],
            },
            "pod p is Pending (ErrImagePull no)",
        ),
        ({"containerStatuses": [{"state": {"running": {"startedAt": "x"}}}]}, "pod p is unknown"),
        (
            {
                "conditions": [
                    {"status": "True", "message": "a"},
                    {"status": "False"},
                    {"status": "False", "message": "b"},
                ]
            },
            "pod p is unknown (b)",
        ),
        (
            {
                "containerStatuses": [{"state": {"waiting": {"reason": "Slow"}}}],
                "conditions": [{"status": "False", "message": "b"}],
            },
            "pod p is unknown (Slow)",
        ),
    ],
)
def test_a_pod_is_one_line_with_its_first_reason(status: dict[str, Any], said: str) -> None:
    assert pod_state({"metadata": {"name": "p"}, "status": status}) == said
