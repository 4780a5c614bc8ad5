"""Clusters on a simulated Compute Engine: they come up, lose machines, and leave none."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
from distributed.utils import LoopRunner

from swath.cluster.cloud.gcp import GceProvider, gce_cluster, name_of
from swath.cluster.cloud.provider import LaunchRequest
from swath.cluster.machine import cloud_init
from swath.cluster.providers.gce import GceFleet
from swath.cluster.teardown.removal import remove_all
from swath.cluster.workers import tls
from swath.cluster.workers.dask_settings import SETTINGS
from swath.errors import CredentialsError, InfrastructureError, SwathError, UsageError
from swath.spec.clusters.cloud import GcpCluster
from tests.clouds.control import Cloud, started
from tests.cluster.cloud.test_gcp import spec


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with started("gce", tmp_path_factory.mktemp("clouds") / "gce") as cloud:
        yield cloud


@pytest.fixture
def cloud(simulated: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name, value in {**simulated.environment, "SWATH_CLOUD_PACE_S": "0.2", "SWATH_CLOUD_QUIET_S": "0.3"}.items():
        monkeypatch.setenv(name, value)
    yield simulated
    simulated.reset()


def there(cloud: Cloud, **fields: Any) -> GcpCluster:
    """A spec of that cloud."""
    place = {"project": cloud.network["project"], "zone": cloud.network["zone"], "machine_image": "swath"}
    return spec(**{**place, "processes": 1, "workers": {"min": 1, "max": 2}, "start_timeout_s": 60, **fields})


def order(name: str, *, role: str = "worker", seconds: float = 3600) -> LaunchRequest:
    return LaunchRequest(name, role, "n2-standard-4", False, "run-1", time.time() + seconds, "#cloud-config\n")


class Running:
    """A cluster with its event loop in another thread."""

    def __init__(self, spec: GcpCluster, label: str) -> None:
        self._runner = LoopRunner(asynchronous=False)
        self._runner.start()
        self.security = tls.for_this_run()
        self.cluster = gce_cluster(spec, label, self.security, self._runner.loop)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._runner.loop.asyncio_loop).result(90)

    def scale(self, n: int) -> None:
        async def scaled() -> None:
            self.cluster.scale(n)

        self.do(scaled())

    def stop(self) -> None:
        self.do(self.cluster.down())
        self._runner.stop()


@contextlib.contextmanager
def running(spec: GcpCluster, label: str) -> Iterator[Running]:
    with dask.config.set(SETTINGS):
        made = Running(spec, label)
        try:
            yield made
        finally:
            made.stop()


@pytest.mark.slow
@pytest.mark.allow_hosts("127.0.0.0/8")
def test_a_cluster_computes_replaces_a_preempted_worker_and_leaves_no_machine(cloud: Cloud) -> None:
    with running(there(cloud, spot=True, env={"GREETING": 'it\'s "so"'}), "20260301-run_1-1a2b") as its:
        its.do(its.cluster.up())
        its.do(its.cluster.have(1))
        with distributed.Client(its.cluster.client_address, security=its.security, set_as_default=False) as client:
            assert client.gather(client.map(abs, [-1, -2, -3])) == [1, 2, 3]
            assert set(client.run(lambda: __import__("os").environ["GREETING"]).values()) == {'it\'s "so"'}
            [first] = its.cluster.plan
            [worker] = [each for each in cloud.alive() if each["name"] == name_of(first)]
            cloud.reclaim(worker["id"])
            assert cloud.until(lambda: first not in its.cluster.plan)
            its.do(its.cluster.have(1))
            assert client.submit(abs, -4).result(30) == 4
        assert [made.role for made in its.cluster.made] == ["scheduler", "worker", "worker"]
    assert cloud.empty()


@pytest.mark.parametrize("short", ["stock_out", "quota"])
def test_a_cluster_that_cannot_be_had_says_why_and_where(cloud: Cloud, short: str) -> None:
    getattr(cloud, short)(times=0)
    with running(there(cloud), "r") as its, pytest.raises(InfrastructureError) as caught:
        its.do(its.cluster.up())
    told = {
        "stock_out": ("ZONE_RESOURCE_POOL_EXHAUSTED", cloud.network["zone"], "cluster.zone"),
        "quota": ("CPUS", "us-central1", "quotas"),
    }
    for part in told[short]:
        assert part in str(caught.value)
    assert cloud.empty()


def test_a_create_request_whose_answer_was_lost_makes_one_machine(cloud: Cloud) -> None:
    cloud.fate(boot="never")
    cloud.fail_create(when="after")
    made = GceProvider(there(cloud)).make(order("run-1-a"))
    fleet = GceFleet(cloud.network["project"])
    assert [each.id for each in fleet.machines("run-1")] == [made.id]
    assert fleet.machines("run-2") == []
    cloud.fail_removal(times=1, status=400)  # not asked again by the API's client
    with pytest.raises(InfrastructureError):
        fleet.end([made])
    assert remove_all(fleet, "run-1", quiet_s=0.3) == 1
    fleet.end([made])  # gone is none to complain about
    assert cloud.empty()


def test_a_machine_is_deleted_by_the_cloud_at_its_time_limit(cloud: Cloud) -> None:
    cloud.fate(boot="never")
    cloud.speed(3600)
    maker = GceProvider(there(cloud))
    made = maker.make(order("run-1-a", seconds=3600))
    assert dataclasses.replace(maker.fleet.machines()[0], state="") == dataclasses.replace(made, state="")
    assert cloud.empty()
    assert maker.fleet.machines() == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_machine_that_nobody_deletes_deletes_itself_where_it_may(cloud: Cloud, allowed: bool) -> None:
    cloud.self_removal(allowed)
    words = ("python", "-m", "swath.cluster.machine.self_removal", "--after-s", "0")
    made = cloud_init.BootPlan("swath:1", ("false",), {}, 0, afterwards=words)
    name = "run-1-worker-1"
    GceProvider(there(cloud)).make(dataclasses.replace(order(name), user_data=cloud_init.user_data(made)))
    if allowed:
        assert cloud.until(lambda: not cloud.alive())
        assert [call["who"] for call in cloud.calls() if call["action"] == "instances.delete"] == ["machine"]
    else:
        assert cloud.until(lambda: "may not delete itself" in cloud.console(name_of(name)))
        assert cloud.names() == [name_of(name)]


def test_what_is_not_there_is_named(cloud: Cloud) -> None:
    with pytest.raises(InfrastructureError, match=r"(?s)missing-net.*cluster\.(sub)?network"):
        GceProvider(there(cloud, network="missing-net")).make(order("run-1-a"))


def test_gpus_need_a_machine_image_with_their_driver() -> None:
    with pytest.raises(UsageError, match="machine_image"):
        GceProvider(spec(machine="g2-standard-8"))


def test_without_credentials_and_without_an_answer_it_is_told_which_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "google.auth.compute_engine._metadata._NO_GCE_CHECK", True
    )  # as NO_GCE_CHECK=true, read at import
    with pytest.raises(CredentialsError, match="gcloud auth"):
        GceFleet("acme-maps").machines()


def test_a_compute_engine_that_does_not_answer_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:9/compute/v1/")
    monkeypatch.setattr("swath.cluster.providers.gce.RETRIES", 0)
    with pytest.raises(SwathError, match="does not answer") as caught:
        GceFleet("acme-maps").machines()
    assert caught.value.exit_code == 5
