"""Machines of simulated clouds that never boot, are stopped, or cannot be had; and connections that are cut. Waits have limits."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from swath.spec.clusters.cloud import AwsCluster, GcpCluster
from swath.spec.clusters.workers import Workers
from tests.clouds.control import Cloud
from tests.cluster.cloud.conftest import LIMITS, ClusterOnLoop, running
from tests.cluster.specs import ec2_spec, gce_spec

pytestmark = [pytest.mark.slow, pytest.mark.allow_hosts("127.0.0.0/8")]


@pytest.fixture(params=["ec2", "gce"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.getfixturevalue(f"{request.param}_cloud")
    return found


def spec_of(cloud: Cloud, **fields: Any) -> AwsCluster | GcpCluster:
    fields = {**fields, "workers": Workers(min=fields["workers"], max=fields["workers"])}
    return ec2_spec(cloud, **fields) if cloud.kind == "ec2" else gce_spec(cloud, **fields)


def workers_of(cloud: Cloud) -> list[str]:
    return [each["name"] for each in cloud.alive() if not each["name"].endswith("-scheduler")]


def stop_container(cloud: Cloud) -> None:
    """SIGSTOP for all processes of the worker machines' containers; one that has ended (its machine was replaced) is passed over."""
    pids = [int(file.read_text()) for file in Path(cloud.root).glob("machines/**/containers/*.pid")]
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one too
            container = psutil.Process(pid)
            if "worker" in container.cmdline():
                for process in (container, *container.children(recursive=True)):
                    process.send_signal(signal.SIGSTOP)


def test_a_fixed_number_of_machines_of_which_one_never_boots_starts_and_gets_it_later(cloud: Cloud) -> None:
    cloud.behaviour(nth=3, boot="never")
    limits = dataclasses.replace(LIMITS, stragglers_s=1.0, boot_s=25.0)
    with running(spec_of(cloud, workers=2), "r-1", limits) as run:
        run.run(run.cluster.start_scheduler())
        assert run.run(run.cluster.wait_for_machines(2, quorum=1)) == 1
        assert run.run(run.cluster.wait_for_machines(2)) == 2
        assert "had no worker process after 25 s" in str(run.cluster.repair.last_error)
    assert cloud.empty()


def test_a_quota_for_one_machine_less_starts_with_those_that_there_are(cloud: Cloud) -> None:
    cloud.quota(nth=3, times=0)
    with running(spec_of(cloud, workers=2)) as run:
        run.run(run.cluster.start_scheduler())
        assert run.run(run.cluster.wait_for_machines(2, quorum=1)) == 1
        assert ("vCPU" if cloud.kind == "ec2" else "CPUS") in run.cluster.problem()
    assert cloud.empty()


def test_workers_are_asked_for_while_the_scheduler_boots(cloud: Cloud) -> None:
    cloud.behaviour(nth=1, boot_delay_s=6)
    with running(spec_of(cloud, workers=1)) as run:
        started = run.begin(run.cluster.start_scheduler())
        assert cloud.until(lambda: len(workers_of(cloud)) == 1, 5)
        assert not started.done()
        started.result(60)
        assert run.run(run.cluster.wait_for_machines(1)) == 1
    assert cloud.empty()


def test_a_machine_that_is_stopped_is_replaced_and_closing_does_not_wait_for_it(cloud: Cloud) -> None:
    limits = dataclasses.replace(LIMITS, unanswered_s=3.0, answer_s=2.0)
    with running(spec_of(cloud, workers=1), "r-1", limits) as run:
        first = up(run)
        stop_container(cloud)
        assert cloud.until(lambda: first not in run.cluster.plan, 40)
        assert "has not answered for 3 s" in str(run.cluster.repair.last_error)
        second = up(run)
        assert second != first
        stop_container(cloud)
        began = time.monotonic()
    assert time.monotonic() - began < 30
    assert cloud.empty()


def test_a_connection_that_is_cut_is_no_lost_scheduler(cloud: Cloud) -> None:
    with running(spec_of(cloud, workers=1)) as run:
        first = up(run)
        with run.client() as client:
            run.run(cut(run))
            assert cloud.until(lambda: not run.cluster._watch_worker_status_comm.closed(), 20)
            assert not run.cluster.scheduler_lost
            assert run.cluster.observed == {first}
            assert client.submit(abs, -1).result(30) == 1
        assert run.cluster.repair.fatal is None
    assert cloud.empty()


async def cut(run: ClusterOnLoop) -> None:
    run.cluster._watch_worker_status_comm.abort()


def up(run: ClusterOnLoop) -> str:
    """Wait for the one worker machine: its name."""
    if run.cluster.scheduler is None:
        run.run(run.cluster.start_scheduler())
    run.run(run.cluster.wait_for_machines(1))
    (name,) = run.cluster.observed
    return str(name)
