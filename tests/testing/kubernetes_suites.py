"""The suites on a simulated Kubernetes. Run by the tests beside in a process of its own: kr8s closes its connections only when a
process ends."""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from swath.cluster.contract import RunContext, RunningCluster
from swath.cluster.kubernetes import manifests
from swath.cluster.kubernetes.pods import KubernetesPods
from swath.cluster.providers.contract import Fleet
from swath.cluster.providers.kubernetes.fleet import KubernetesFleet
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.errors import UsageError
from swath.launchers.contract import JobLauncher
from swath.launchers.kubernetes import KubernetesLauncher
from swath.launchers.settings import KubernetesSettings
from swath.secret_stores.kubernetes import secret_value
from swath.spec.clusters.kubernetes import KubernetesCluster
from swath.testing.cluster import ClusterTests, OpenCluster
from swath.testing.fleet import FleetTests, Launch
from swath.testing.launcher import LauncherTests
from tests.cluster.fake_kubernetes import FakeKubernetes
from tests.launchers.conftest import image
from tests.launchers.fake_kubernetes import FakeJobServer, FakeKubernetesJobs


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


class TestLauncher(LauncherTests):
    @pytest.fixture
    def launcher(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobLauncher]:
        (tmp_path / "cluster").mkdir()
        jobs = FakeKubernetesJobs(tmp_path / "cluster", image(tmp_path))
        server = FakeJobServer(jobs)
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        jobs.secrets["earthdata"] = {"data": {"token": base64.b64encode(b"of the store").decode()}}
        yield KubernetesLauncher(KubernetesSettings(kind="kubernetes", namespace="runs", image="ghcr.io/acme/swath:1"))
        server.close()
        jobs.close()

    def test_secrets_are_read_through_the_client_too(self, launcher: JobLauncher) -> None:
        assert secret_value("runs/earthdata", "token") == "of the store"
        with pytest.raises(UsageError, match="nothing at runs/other"):
            secret_value("runs/other", "token")


HOST = f"127.78.0.{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
SPEC = KubernetesCluster(
    kind="kubernetes", namespace="maps", image="swath:1", workers=1, reach="load_balancer", start_timeout_s=60
)


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeKubernetes]:
    """An API server whose pods are processes of this machine."""
    server = FakeKubernetes(tmp_path_factory.mktemp("kubernetes"), HOST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(server.kubeconfig))
        patch.setenv("SWATH_CLOUD_QUIET_S", "0.2")
        yield server
    server.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """On an API server of its own, which tests do not change."""
    folder = tmp_path_factory.mktemp("shared")
    server = FakeKubernetes(folder, HOST.replace("127.78", "127.79"))
    with pytest.MonkeyPatch.context() as patch, Journal.open(folder / "state") as journal:
        patch.setenv("KUBECONFIG", str(server.kubeconfig))
        patch.setenv("SWATH_CLOUD_QUIET_S", "0.2")
        with KubernetesPods(SPEC, RunContext("20260301-120000-shared-1a2b", journal, Stop(), print)) as cluster:
            yield cluster
    server.close()


@pytest.mark.allow_hosts("127.0.0.0/8")
class TestCluster(ClusterTests):
    creates_machines = True

    @pytest.fixture
    def cluster(self, running: RunningCluster) -> RunningCluster:
        return running

    @pytest.fixture
    def fleet(self, api_server: FakeKubernetes) -> Fleet:
        return KubernetesFleet("maps")

    @pytest.fixture
    def open_cluster(self, api_server: FakeKubernetes) -> OpenCluster:
        return lambda context: KubernetesPods(SPEC, context)

    @pytest.fixture
    def open_failing_cluster(self, api_server: FakeKubernetes) -> Iterator[OpenCluster]:
        api_server.starts = False
        yield lambda context: KubernetesPods(SPEC.model_copy(update={"start_timeout_s": 1.0}), context)
        api_server.starts = True
