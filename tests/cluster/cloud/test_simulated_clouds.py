"""Clusters of machines in simulated clouds: they come up, compute, lose machines and replace them, and leave none."""

from __future__ import annotations

import time
from typing import Any

import pytest
from distributed import Client

from swath.cluster.cloud.launch_requests import ALONE
from swath.cluster.cloud.machine_pool import CLOSE_STEP_S
from swath.cluster.providers.gcp.launch import instance_name
from swath.cluster.workers.autoscaling import Autoscaler, MachineScaling
from swath.errors import CredentialsError, InfrastructureError
from swath.spec.clusters.workers import Workers
from tests.clouds.control import Cloud
from tests.cluster.cloud.conftest import LIMITS, WAIT_S, running
from tests.cluster.specs import ec2_spec, gce_spec

pytestmark = pytest.mark.allow_hosts("127.0.0.0/8")  # simulated machines have addresses of their own


def workers_of(cloud: Cloud) -> list[str]:
    """Names of the worker machines that are there."""
    return [each["name"] for each in cloud.alive() if each["labels"]["swath:role"] == "worker"]


# --- on EC2


@pytest.mark.slow
def test_a_cluster_comes_up_replaces_lost_machines_scales_and_leaves_none(ec2_cloud: Cloud) -> None:
    value = """it's a "$HOME" `id` \\ {{x}} %s: #"""
    with (
        running(ec2_spec(ec2_cloud, spot=True, env={"VALUE": value})) as run,
        running(ec2_spec(ec2_cloud), "r-2") as other,
    ):
        # Two clusters in one process, each with its own key.
        first = run.begin(run.cluster.start_scheduler())
        other.run(other.cluster.start_scheduler())
        first.result(WAIT_S)
        with run.client() as client:
            with pytest.raises(OSError, match=r"handshake|SSL|TLS|certificate"):
                Client(other.cluster.client_address, security=run.security, timeout=3, set_as_default=False)
            other.run(other.cluster.shut_down())
            run.run(run.cluster.wait_for_machines(1))
            assert client.gather(client.map(lambda x: x * x, range(20))) == [x * x for x in range(20)]

            # Values of the environment arrive unchanged; tags and market are in the launch request itself.
            assert client.submit(_variable, "VALUE").result() == value
            launches = [each for each in ec2_cloud.calls() if each["action"] == "RunInstances"]
            assert "CreateTags" not in ec2_cloud.actions()
            assert {each["labels"]["swath:run"] for each in ec2_cloud.alive()} == {"r-1"}
            assert all(float(each["labels"]["swath:expires"]) > time.time() + 11 * 3600 for each in ec2_cloud.alive())
            assert [("spot" in str(each["parameters"])) for each in launches].count(True) == 1
            assert all(each["user_data_bytes"] < 4000 for each in ec2_cloud.alive())

            # A machine with a preemption notice retires by itself, and is replaced by one with another name.
            (before,) = run.cluster.observed
            (lost,) = [each["id"] for each in ec2_cloud.alive() if each["name"] == before]
            ec2_cloud.reclaim(lost, notice_s=600)
            assert ec2_cloud.until(lambda: bool(run.cluster.observed - {before}))
            run.run(run.cluster.wait_for_machines(1))

            # More machines start while there is much work; a machine that is removed first hands over its results.
            autoscaler = Autoscaler(run.cluster, Workers(min=1, max=2), LIMITS.scaling, scaling=MachineScaling)
            autoscaler.update(100, 100 * LIMITS.scaling.worth_s)
            run.run(run.cluster.wait_for_machines(2))
            removed, stays = run.cluster.worker_spec
            (address,) = [each for each, worker in _workers(client).items() if worker["name"] == f"{removed}-0"]
            result = client.submit(_unlike_any_other, workers=[address], allow_other_workers=True)
            before_removal = result.result()
            autoscaler.update(0, 0.0)
            assert ec2_cloud.until(lambda: workers_of(ec2_cloud) == [stays])
            autoscaler.stop()
            assert result.result() == before_removal
    assert ec2_cloud.empty()
    assert [each.role for each in run.cluster.machines.created].count("scheduler") == 1
    assert len(run.cluster.machines.created) == 4
    assert all(each.ended is not None and each.ended > each.began for each in run.cluster.machines.created)
    assert [each.spot for each in run.cluster.machines.created] == [False, True, True, True]


def _variable(name: str) -> str:
    import os

    return os.environ[name]


def _unlike_any_other() -> str:
    import uuid

    return uuid.uuid4().hex


def _workers(client: Client) -> dict[str, Any]:
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return workers


def test_an_exceeded_quota_is_an_error_with_its_code_and_region_and_leaves_no_machine(ec2_cloud: Cloud) -> None:
    ec2_cloud.quota(times=0)
    with running(ec2_spec(ec2_cloud)) as run:
        with pytest.raises(InfrastructureError, match=r"us-east-1: VcpuLimitExceeded") as caught:
            run.run(run.cluster.start_scheduler())
        assert "Service Quotas" in caught.value.remedy
    assert not ec2_cloud.alive()


def test_a_missing_right_is_a_credentials_error(ec2_cloud: Cloud) -> None:
    ec2_cloud.fault("RunInstances", "UnauthorizedOperation", status=403, message="You are not authorized", times=0)
    with running(ec2_spec(ec2_cloud)) as run, pytest.raises(CredentialsError, match="UnauthorizedOperation"):
        run.run(run.cluster.start_scheduler())


def test_a_container_that_dies_is_an_error_with_the_console_and_is_not_retried_for_ever(ec2_cloud: Cloud) -> None:
    for nth in range(2, 20):
        ec2_cloud.behaviour(nth=nth, container="dies")
    with running(ec2_spec(ec2_cloud)) as run:
        run.run(run.cluster.start_scheduler())
        with pytest.raises(InfrastructureError, match="the container died, as a test asked for"):
            run.run(run.cluster.wait_for_machines(1))
        with pytest.raises(InfrastructureError, match="the container died"):
            run.cluster.check({})
    assert ec2_cloud.actions().count("RunInstances") == 1 + LIMITS.failures
    assert ec2_cloud.empty()


@pytest.mark.slow
def test_closing_goes_on_when_the_scheduler_is_dead_and_terminating_fails(ec2_cloud: Cloud) -> None:
    with running(ec2_spec(ec2_cloud)) as run:
        run.run(run.cluster.start_scheduler())
        ec2_cloud.fail_removal(times=0)
        (scheduler,) = [each["id"] for each in ec2_cloud.alive() if each["labels"]["swath:role"] == "scheduler"]
        ec2_cloud.kill_container(scheduler)
        began = time.monotonic()
        run.run(run.cluster.shut_down())
        assert time.monotonic() - began < 4 * CLOSE_STEP_S


@pytest.mark.slow
def test_machines_end_by_themselves_when_there_is_no_client(ec2_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALONE, "3")
    with running(ec2_spec(ec2_cloud)) as run:
        run.run(run.cluster.start_scheduler())
        with run.client():
            run.run(run.cluster.wait_for_machines(1))
            machines = ec2_cloud.names()
        assert len(machines) == 2
        assert ec2_cloud.empty(within_s=30)
        terminated = str([each["parameters"] for each in ec2_cloud.calls() if each["action"] == "TerminateInstances"])
        assert not [each for each in machines if each in terminated]


# --- on Compute Engine


@pytest.mark.slow
def test_a_cluster_on_gce_computes_replaces_a_preempted_worker_and_leaves_no_machine(gce_cloud: Cloud) -> None:
    with running(gce_spec(gce_cloud, spot=True, env={"GREETING": 'it\'s "so"'}), "20260301-run_1-1a2b") as run:
        run.run(run.cluster.start_scheduler())
        run.run(run.cluster.wait_for_machines(1))
        with run.client() as client:
            assert client.gather(client.map(abs, [-1, -2, -3])) == [1, 2, 3]
            assert set(client.run(lambda: __import__("os").environ["GREETING"]).values()) == {'it\'s "so"'}
            [first] = run.cluster.plan
            [worker] = [each for each in gce_cloud.alive() if each["name"] == instance_name(first)]
            gce_cloud.reclaim(worker["id"])
            assert gce_cloud.until(lambda: first not in run.cluster.plan)
            run.run(run.cluster.wait_for_machines(1))
            assert client.submit(abs, -4).result(30) == 4
        assert [each.role for each in run.cluster.machines.created] == ["scheduler", "worker", "worker"]
    assert gce_cloud.empty()


@pytest.mark.parametrize("short", ["stock_out", "quota"])
def test_a_cluster_on_gce_that_does_not_come_up_says_why_and_where(gce_cloud: Cloud, short: str) -> None:
    getattr(gce_cloud, short)(times=0)
    with running(gce_spec(gce_cloud), "r") as run, pytest.raises(InfrastructureError) as caught:
        run.run(run.cluster.start_scheduler())
    parts = {
        "stock_out": ("ZONE_RESOURCE_POOL_EXHAUSTED", gce_cloud.network["zone"], "cluster.zone"),
        "quota": ("CPUS", "us-central1", "quotas"),
    }
    for part in parts[short]:
        assert part in str(caught.value)
    assert gce_cloud.empty()
