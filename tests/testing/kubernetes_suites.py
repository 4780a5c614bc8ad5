"""The suites on a simulated Kubernetes. Run by the tests beside in a process of its own: kr8s closes its connections only when a
process ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from swath.cluster.kubernetes import manifests
from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.kubernetes.fleet import KubernetesFleet
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.testing.fleet import FleetTests, Launch
from tests.cluster.fake_kubernetes import FakeKubernetes


class TestFleet(FleetTests):
    @pytest.fixture
    def cloud(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
        server = FakeKubernetes(tmp_path, "127.0.0.1")
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        yield server
        server.close()

    @pytest.fixture
    def fleet(self, cloud: FakeKubernetes) -> Fleet:
        return KubernetesFleet("maps")

    @pytest.fixture
    def launch(self, cloud: FakeKubernetes, fleet: Fleet) -> Launch:
        assert isinstance(fleet, KubernetesFleet)
        api = fleet.api

        def create(run: str, name: str, expires: float) -> object:
            spec = KubernetesCluster(kind="kubernetes", namespace="maps", image="ghcr.io/acme/swath:1")
            manifest = manifests.cluster(spec, run, int(expires))
            manifest["metadata"]["name"] = name
            return api.create(manifest)

        return create

    @pytest.fixture
    def break_termination(self, cloud: FakeKubernetes) -> Callable[[], AbstractContextManager[None]]:
        @contextlib.contextmanager
        def break_termination() -> Iterator[None]:
            cloud.refuse = ("DELETE", 500)
            yield
            cloud.refuse = None

        return break_termination

    @pytest.fixture
    def unreachable_fleet(self, tmp_path: Path) -> Iterator[Fleet]:
        (tmp_path / "gone").mkdir()
        server = FakeKubernetes(tmp_path / "gone", "127.0.0.1")
        kubeconfig = server.kubeconfig
        server.close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECONFIG", str(kubeconfig))
            yield KubernetesFleet("maps")
