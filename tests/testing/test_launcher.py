"""Every launcher runs the conformance suite, on what plays its platform."""

from __future__ import annotations

import pytest

from swath.launchers.batch import BatchLauncher
from swath.launchers.contract import JobLauncher
from swath.launchers.docker import DockerLauncher
from swath.launchers.settings import BatchSettings, DockerSettings, VertexSettings
from swath.launchers.vertex import VertexLauncher
from swath.testing.launcher import LauncherTests
from tests.launchers.conftest import FakeDocker, batch, docker, vertex
from tests.launchers.fake_batch import FakeBatch
from tests.launchers.fake_vertex import FakeVertex
from tests.testing import kubernetes_suites
from tests.testing.conftest import run_kubernetes_suite

__all__ = ["batch", "docker", "vertex"]


class TestDocker(LauncherTests):
    @pytest.fixture
    def launcher(self, docker: FakeDocker) -> JobLauncher:
        return DockerLauncher(DockerSettings(kind="docker", image="swath:0.2"))


class TestVertex(LauncherTests):
    @pytest.fixture
    def launcher(self, vertex: FakeVertex) -> JobLauncher:
        settings = VertexSettings(
            kind="vertex", project="p", region=("europe-west4", "europe-west1"), image="eu/swath:0.2", machine=("n2-highmem-2",),
            service_account="run@p.iam.gserviceaccount.com",
        )  # fmt: skip
        return VertexLauncher(settings)


class TestBatch(LauncherTests):
    @pytest.fixture
    def launcher(self, batch: FakeBatch) -> JobLauncher:
        settings = BatchSettings(kind="batch", region="eu-central-1", queue=("spot", "on-demand"), definition="swath:3")
        return BatchLauncher(settings)


@pytest.mark.slow
def test_the_launcher_of_kubernetes_runs_the_suite_through_its_client() -> None:
    run_kubernetes_suite("TestLauncher", kubernetes_suites.TestLauncher)
