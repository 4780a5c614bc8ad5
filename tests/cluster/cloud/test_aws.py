from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from distributed import Client
from distributed.utils import LoopRunner

from swath.cluster.cloud import launch_requests, repair, vm_cluster
from swath.cluster.cloud.aws import Ec2Provider, ec2_cluster, request
from swath.cluster.cloud.provider import LaunchRequest
from swath.cluster.cloud.vm_cluster import VmCluster
from swath.cluster.machine import cloud_init
from swath.cluster.providers.ec2 import RETRIES, Ec2Fleet, refusal
from swath.cluster.workers import tls
from swath.cluster.workers.autoscaling import Autoscaler, MachineScaling
from swath.errors import CredentialsError, InfrastructureError
from swath.spec.clusters.cloud import AwsCluster
from swath.spec.clusters.workers import Workers
from tests.clouds.control import Cloud

WAIT_S = 60.0
pytestmark = pytest.mark.allow_hosts("127.0.0.0/8")  # simulated machines have addresses of their own


@pytest.fixture
def cloud(ec2_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv(vm_cluster.PACE, "0.2")
    return ec2_cloud


def spec_for(cloud: Cloud, **fields: Any) -> AwsCluster:
    network = cloud.network
    plain = {
        "kind": "aws",
        "region": network["region"],
        "image": "acme/swath:1",
        "machine_image": network["image"],
        "subnet": network["subnet"],
        "security_groups": [network["security_group"]],
        "processes": 1,
        "start_timeout_s": 60,
    }
    return AwsCluster(**plain | fields)


class Run:
    """A cluster on an event loop of its own."""

    def __init__(self, spec: AwsCluster, label: str, loop: Any) -> None:
        self.security = tls.for_this_run()
        self.cluster: VmCluster = ec2_cluster(spec, label, self.security, loop)
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop.asyncio_loop).result(WAIT_S)

    def client(self) -> Client:
        return Client(self.cluster.client_address, security=self.security, set_as_default=False)


@contextlib.contextmanager
def run_of(cloud: Cloud, label: str = "r-1", **fields: Any) -> Iterator[Run]:
    runner = LoopRunner(asynchronous=False)
    runner.start()
    try:
        run = Run(spec_for(cloud, **fields), label, runner.loop)
        try:
            yield run
        finally:
            run.do(run.cluster.down())
    finally:
        runner.stop()


def workers_of(cloud: Cloud) -> list[str]:
    return [each["name"] for each in cloud.alive() if each["labels"]["swath:role"] == "worker"]


def soon(true: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.slow
def test_a_cluster_comes_up_works_replaces_what_it_loses_and_leaves_nothing(cloud: Cloud) -> None:
    value = """it's a "$HOME" `id` \\ {{x}} %s: #"""
    with run_of(cloud, spot=True, env={"VALUE": value}) as run, run_of(cloud, "r-2") as other:
        # Two clusters in one process, each with its own key.
        first = asyncio.run_coroutine_threadsafe(run.cluster.up(), run._loop.asyncio_loop)
        other.do(other.cluster.up())
        first.result(WAIT_S)
        with run.client() as client:
            with pytest.raises(OSError, match=r"handshake|SSL|TLS|certificate"):
                Client(other.cluster.client_address, security=run.security, timeout=3, set_as_default=False)
            other.do(other.cluster.down())
            run.do(run.cluster.have(1))
            assert client.gather(client.map(lambda x: x * x, range(20))) == [x * x for x in range(20)]

            # Values come as they are; tags, market and metadata's lock are there from the first call on.
            assert client.submit(_variable, "VALUE").result() == value
            asked = [each for each in cloud.calls() if each["action"] == "RunInstances"]
            assert "CreateTags" not in cloud.actions()
            assert {each["labels"]["swath:run"] for each in cloud.alive()} == {"r-1"}
            assert all(float(each["labels"]["swath:expires"]) > time.time() + 11 * 3600 for each in cloud.alive())
            assert [("spot" in str(each["parameters"])) for each in asked].count(True) == 1
            assert all(each["user_data_bytes"] < 4000 for each in cloud.alive())

            # A machine that is told that the cloud takes it back retires by itself, and is replaced by one of another name.
            (before,) = run.cluster.observed
            (lost,) = [each["id"] for each in cloud.alive() if each["name"] == before]
            cloud.reclaim(lost, notice_s=600)
            soon(lambda: run.cluster.observed - {before}, "it is replaced")
            run.do(run.cluster.have(1))

            # More come while there is much to do; one that is not needed any more hands over what it has.
            elastic = Autoscaler(run.cluster, Workers(min=1, max=2), MachineScaling)
            elastic.tell(100, 100 * run.cluster.unit.worth_s)
            run.do(run.cluster.have(2))
            goes, stays = run.cluster.worker_spec
            (address,) = [each for each, worker in _workers(client).items() if worker["name"] == f"{goes}-0"]
            kept = client.submit(_unlike_any_other, workers=[address], allow_other_workers=True)
            value_before = kept.result()
            elastic.tell(0, 0.0)
            soon(lambda: workers_of(cloud) == [stays], "one is given back")
            elastic.stop()
            assert kept.result() == value_before
    assert cloud.empty()
    assert [each.role for each in run.cluster.made].count("scheduler") == 1
    assert len(run.cluster.made) == 4
    assert all(each.ended is not None and each.ended > each.began for each in run.cluster.made)
    assert [each.spot for each in run.cluster.made] == [False, True, True, True]


def _variable(name: str) -> str:
    import os

    return os.environ[name]


def _unlike_any_other() -> str:
    import uuid

    return uuid.uuid4().hex


def _workers(client: Client) -> dict[str, Any]:
    workers: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return workers


def test_quota_is_told_with_its_code_and_region_and_leaves_nothing(cloud: Cloud) -> None:
    cloud.quota(times=0)
    with run_of(cloud) as run:
        with pytest.raises(InfrastructureError, match=r"us-east-1: VcpuLimitExceeded") as told:
            run.do(run.cluster.up())
        assert "Service Quotas" in told.value.remedy
    assert not cloud.alive()


def test_what_is_not_allowed_is_a_matter_of_credentials(cloud: Cloud) -> None:
    cloud.fault("RunInstances", "UnauthorizedOperation", status=403, message="You are not authorized", times=0)
    with run_of(cloud) as run, pytest.raises(CredentialsError, match="UnauthorizedOperation"):
        run.do(run.cluster.up())


def test_a_container_that_dies_is_told_with_the_console_and_is_not_tried_for_ever(cloud: Cloud) -> None:
    for nth in range(2, 20):
        cloud.fate(nth=nth, container="dies")
    with run_of(cloud) as run:
        run.do(run.cluster.up())
        with pytest.raises(InfrastructureError, match="the container died, as a test asked for"):
            run.do(run.cluster.have(1))
        with pytest.raises(InfrastructureError, match="the container died"):
            run.cluster.check({})
    assert cloud.actions().count("RunInstances") == 1 + repair.TRIES
    assert cloud.empty()


@pytest.mark.slow
def test_closing_goes_on_when_the_scheduler_is_dead_and_terminating_fails(cloud: Cloud) -> None:
    with run_of(cloud) as run:
        run.do(run.cluster.up())
        cloud.fail_removal(times=0)
        (scheduler,) = [each["id"] for each in cloud.alive() if each["labels"]["swath:role"] == "scheduler"]
        cloud.kill_container(scheduler)
        began = time.monotonic()
        run.do(run.cluster.down())
        assert time.monotonic() - began < 4 * vm_cluster.CLOSE_S


@pytest.mark.slow
def test_machines_end_by_themselves_when_there_is_no_client(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(launch_requests.ALONE, "3")
    with run_of(cloud) as run:
        run.do(run.cluster.up())
        with run.client():
            run.do(run.cluster.have(1))
            machines = cloud.names()
        assert len(machines) == 2
        assert cloud.empty(within_s=30)
        told = str([each["parameters"] for each in cloud.calls() if each["action"] == "TerminateInstances"])
        assert not [each for each in machines if each in told]


def order(**fields: Any) -> LaunchRequest:
    plain = {"name": "m-1", "role": "worker", "type": "m7i.xlarge", "spot": False, "label": "r-9", "expires": 2e9}
    return LaunchRequest(**plain | {"user_data": "#cloud-config\n{}\n"} | fields)


def test_the_fleet_lists_what_is_paid_for_and_ends_all_but_what_is_gone(cloud: Cloud) -> None:
    maker, fleet = Ec2Provider(spec_for(cloud)), Ec2Fleet(cloud.network["region"])
    one, two = (maker.make(order(name=name)) for name in ("m-1", "m-2"))
    assert {each.name for each in fleet.machines("r-9")} == {each.name for each in fleet.machines()} == {"m-1", "m-2"}
    assert fleet.machines("r-8") == []
    (listed,) = [each for each in fleet.machines("r-9") if each.id == one.id]
    assert (listed.run, listed.role, listed.expires, listed.type) == ("r-9", "worker", 2e9, "m7i.xlarge")
    unknown = dataclasses.replace(one, id="i-0123456789abcdef0")
    fleet.end([unknown, one, two])
    assert fleet.machines("r-9") == []
    fleet.end([one])
    assert maker.look(unknown).over is False
    assert maker.look(one).over
    assert two.id in fleet.removal(two)


def test_a_machine_ends_at_its_time_limit_whatever_its_container_does(cloud: Cloud) -> None:
    cloud.fate(container="hangs")
    cloud.speed(3600)
    plain = cloud_init.BootPlan(image="acme/swath:1", command=("python",), env={}, expires=2_000_000_000, limit_s=3600)
    Ec2Provider(spec_for(cloud)).make(order(user_data=cloud_init.user_data(plain)))
    assert cloud.alive()
    assert cloud.empty(within_s=20)
    assert "TerminateInstances" not in cloud.actions()


def test_a_request_that_is_sent_twice_makes_one_machine(cloud: Cloud) -> None:
    cloud.fail_create(when="after")
    Ec2Provider(spec_for(cloud)).make(order())
    assert cloud.actions().count("RunInstances") == 2
    assert len(cloud.alive()) == 1


def test_without_a_subnet_machines_are_in_the_default_vpc_and_in_the_next_zone_when_one_is_sold_out(
    cloud: Cloud,
) -> None:
    cloud.stock_out(nth=1, times=RETRIES)  # the library asks again, too
    maker = Ec2Provider(spec_for(cloud, subnet=None))
    maker.make(order())
    asked = [call["parameters"] for call in cloud.calls() if call["action"] == "RunInstances"]
    zones = list(dict.fromkeys(each["NetworkInterface.1.SubnetId"] for each in asked))
    assert zones == maker._ec2.default_subnets()[:2]
    assert len(cloud.alive()) == 1


def test_what_is_missing_is_named(cloud: Cloud) -> None:
    with pytest.raises(InfrastructureError, match="InvalidInstanceType") as told:
        Ec2Provider(spec_for(cloud, machine="m99.huge"))
    assert "cluster.machine" in told.value.remedy
    with pytest.raises(InfrastructureError, match="image") as told:
        Ec2Provider(spec_for(cloud, machine_image="ami-00000000")).make(order())
    assert "cluster.machine_image" in told.value.remedy
    assert "cluster.subnet" in refusal("eu-west-1", "InvalidSubnetID.NotFound", "no such subnet").remedy


def test_the_request_locks_the_metadata_and_keeps_no_disk(cloud: Cloud) -> None:
    image = {"ImageId": "ami-1", "RootDeviceName": "/dev/xvda"}
    spec = spec_for(cloud, profile="arn:aws:iam::1:instance-profile/w", public_ip=False)
    asked = request(spec, order(spot=True), image=image, subnet="subnet-1", token="t")
    assert asked["MetadataOptions"]["HttpTokens"] == "required"
    assert asked["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert asked["BlockDeviceMappings"][0]["DeviceName"] == "/dev/xvda"
    assert asked["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"]
    assert asked["IamInstanceProfile"] == {"Arn": "arn:aws:iam::1:instance-profile/w"}
    assert asked["InstanceMarketOptions"]["MarketType"] == "spot"
    assert asked["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert {each["ResourceType"] for each in asked["TagSpecifications"]} == {
        "instance",
        "volume",
        "spot-instances-request",
    }
