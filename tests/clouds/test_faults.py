"""Each fault of the simulated clouds does what it says, and nothing outlives them."""

from __future__ import annotations

import functools
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.clouds.control import Cloud, started
from tests.clouds.machine import processes

SLEEPS = "#cloud-config\nruncmd:\n  - echo up\n  - docker run --name one image sleep 1000\n  - echo container ended\n"


@pytest.fixture(params=["ec2", "gce"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.getfixturevalue(f"{request.param}_cloud")
    return found


@functools.cache
def compute(endpoint: str) -> Any:
    """A client of Compute Engine, made once: it reads a description of 6 MB."""
    import google.auth
    import googleapiclient.discovery

    credentials, _ = google.auth.default(["https://www.googleapis.com/auth/cloud-platform"])
    options = {"api_endpoint": f"{endpoint}/compute/v1/"}
    return googleapiclient.discovery.build(
        "compute", "v1", credentials=credentials, client_options=options, static_discovery=True
    )


@functools.cache
def ec2(endpoint: str) -> Any:
    """A client of EC2 that asks once."""
    import boto3
    from botocore.config import Config

    return boto3.client("ec2", endpoint_url=endpoint, config=Config(retries={"total_max_attempts": 1}))


def body(name: str, user_data: str, **scheduling: Any) -> dict[str, Any]:
    return {
        "name": name,
        "machineType": "zones/us-central1-a/machineTypes/e2-standard-2",
        "labels": {"swath-run": "r1"},
        "networkInterfaces": [{"network": "global/networks/default"}],
        "scheduling": scheduling,
        "metadata": {"items": [{"key": "user-data", "value": user_data}]},
    }


def create(cloud: Cloud, user_data: str = SLEEPS, name: str = "m-1", **options: Any) -> str:
    """A machine; its id, as the control address knows it. Raises what the client's library raises."""
    if cloud.kind == "ec2":
        made = ec2(cloud.endpoint).run_instances(
            ImageId=cloud.network["image"],
            MinCount=1,
            MaxCount=1,
            UserData=user_data,
            SubnetId=cloud.network["subnet"],
            InstanceInitiatedShutdownBehavior="terminate",
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "swath:run", "Value": "r1"}]}],
            **options,
        )
        return str(made["Instances"][0]["InstanceId"])
    api = compute(cloud.endpoint)
    place = {"project": cloud.network["project"], "zone": cloud.network["zone"]}
    operation = api.instances().insert(body=body(name, user_data, **options), **place).execute()
    operation = api.zoneOperations().wait(operation=operation["name"], **place).execute()
    if "error" in operation:
        raise RuntimeError(operation["error"]["errors"][0]["code"])
    return name


def remove(cloud: Cloud, machine: str) -> None:
    if cloud.kind == "ec2":
        ec2(cloud.endpoint).terminate_instances(InstanceIds=[machine])
    else:
        place = {"project": cloud.network["project"], "zone": cloud.network["zone"]}
        compute(cloud.endpoint).instances().delete(instance=machine, **place).execute()


def up(cloud: Cloud, machine: str, text: str = "up") -> bool:
    return cloud.until(lambda: text in cloud.console(machine), 10)


def refusal(cloud: Cloud) -> str:
    """What a create call ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - it is the library's own
        create(cloud)
    return str(caught.value)


def test_a_machine_lives_until_it_is_removed_and_its_calls_are_logged(cloud: Cloud) -> None:
    machine = create(cloud)
    assert up(cloud, machine)
    [alive] = cloud.alive()
    assert alive["labels"]["swath:run" if cloud.kind == "ec2" else "swath-run"] == "r1"
    assert alive["user_data_bytes"] == len(SLEEPS)
    assert cloud.until(lambda: cloud.processes() >= 2)
    remove(cloud, machine)
    assert cloud.until(lambda: cloud.processes() == 0)
    assert cloud.empty(2)
    first, last = cloud.calls()[0], cloud.calls()[-1]
    assert (first["who"], last["who"]) == ("client", "client")
    assert "echo up" not in json.dumps(first), "user data has secrets"
    assert json.loads((cloud.root / "calls.jsonl").read_text().splitlines()[-1])["action"] == last["action"]


def test_a_create_call_fails_before_its_effect(cloud: Cloud) -> None:
    cloud.fail_create(nth=2, times=1)
    create(cloud)
    assert "injected" in refusal(cloud)
    assert len(cloud.alive()) == 1


def test_a_create_call_fails_after_its_effect(cloud: Cloud) -> None:
    cloud.fail_create(when="after")
    assert "injected" in refusal(cloud)
    assert len(cloud.alive()) == 1


def test_a_stock_out_and_a_quota_leave_no_machine(cloud: Cloud) -> None:
    cloud.stock_out()
    assert ("InsufficientInstanceCapacity" if cloud.kind == "ec2" else "ZONE_RESOURCE_POOL_EXHAUSTED") in refusal(cloud)
    cloud.reset()
    cloud.quota()
    assert ("VcpuLimitExceeded" if cloud.kind == "ec2" else "Quota 'CPUS' exceeded") in refusal(cloud)
    assert not cloud.alive()


def test_a_removal_fails_as_often_as_configured(cloud: Cloud) -> None:
    machine = create(cloud)
    cloud.fail_removal(status=400)
    with pytest.raises(Exception, match="injected"):
        remove(cloud, machine)
    assert cloud.names() == [machine]
    remove(cloud, machine)
    assert cloud.empty(2)


def test_a_machine_that_never_boots_is_paid_for_and_silent(cloud: Cloud) -> None:
    cloud.behaviour(boot="never")
    machine = create(cloud)
    assert cloud.until(lambda: cloud.alive()[0]["state"].lower() == "running", 5)
    assert (cloud.console(machine), cloud.alive()[0]["booted"]) == ("", False)


def test_a_container_dies_hangs_or_has_no_image(cloud: Cloud) -> None:
    cloud.behaviour(nth=1, container="dies")
    cloud.behaviour(nth=2, container="hangs")
    cloud.behaviour(nth=3, container="missing")
    dies, hangs, missing = (create(cloud, name=name) for name in ("m-1", "m-2", "m-3"))
    assert up(cloud, dies, "container ended")
    assert up(cloud, missing, "manifest unknown")
    assert up(cloud, hangs)
    assert "container ended" not in cloud.console(hangs)


def test_a_killed_container_leaves_the_machine(cloud: Cloud) -> None:
    machine = create(cloud)
    assert cloud.until(lambda: bool(list(cloud.root.glob("machines/*/containers/one.pid"))), 10)
    cloud.kill_container(machine)
    assert up(cloud, machine, "container ended")
    assert cloud.names() == [machine]


def test_a_time_limit_of_minutes_is_over_in_a_moment(cloud: Cloud) -> None:
    cloud.speed(600)
    if cloud.kind == "ec2":
        create(cloud, "#cloud-config\nbootcmd:\n  - [shutdown, -h, '+5']\nruncmd:\n  - sleep 1000\n")
    else:
        create(cloud, maxRunDuration={"seconds": "300"}, instanceTerminationAction="DELETE")
    assert cloud.alive()
    assert cloud.empty(5)


def test_a_machine_that_is_powered_off_is_gone_only_where_that_terminates_it(cloud: Cloud) -> None:
    machine = create(cloud)
    assert up(cloud, machine)
    cloud.power_off(machine)
    assert cloud.until(lambda: cloud.processes() == 0, 5)
    states = [] if cloud.kind == "ec2" else ["TERMINATED"]
    assert cloud.until(lambda: [each["state"] for each in cloud.alive()] == states, 5)


def test_a_spot_machine_gets_a_notice_and_is_preempted(cloud: Cloud) -> None:
    machine = create(cloud, "#cloud-config\nruncmd:\n  - echo metadata $SWATH_METADATA\n  - sleep 1000\n")
    assert up(cloud, machine, "metadata http")
    import urllib.request

    path = "latest/meta-data/spot/instance-action" if cloud.kind == "ec2" else "computeMetadata/v1/instance/preempted"
    address = cloud.console(machine).split()[-1] + "/" + path
    cloud.reclaim(machine, notice_s=0.5)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as answer:
        assert (b"terminate" if cloud.kind == "ec2" else b"TRUE") in answer.read()
    assert cloud.until(
        lambda: [each["state"] for each in cloud.alive()] == ([] if cloud.kind == "ec2" else ["TERMINATED"])
    )
    assert cloud.until(lambda: cloud.processes() == 0)


def test_user_data_that_is_no_yaml_boots_nothing_and_never_ends(cloud: Cloud) -> None:
    machine = create(cloud, "#cloud-config\nruncmd:\n  - 'it's'\n  - shutdown -h now\n")
    assert up(cloud, machine, "failed loading user data")
    assert cloud.names() == [machine]


def test_files_of_user_data_lie_where_the_commands_find_them(cloud: Cloud) -> None:
    machine = create(
        cloud,
        "#cloud-config\nwrite_files:\n  - {path: /etc/swath/greeting, content: aGVsbG8=, encoding: b64}\n"
        "runcmd:\n  - [cat, /etc/swath/greeting]\n",
    )
    assert up(cloud, machine, "hello")
    assert not Path("/etc/swath/greeting").exists()


def test_ec2_refuses_user_data_beyond_its_limit_and_makes_one_machine_of_a_token(ec2_cloud: Cloud) -> None:
    with pytest.raises(Exception, match="User data is limited to 16384 bytes"):
        create(ec2_cloud, "#cloud-config\n#" + "x" * 16384)
    assert create(ec2_cloud, ClientToken="one") == create(ec2_cloud, ClientToken="one")
    assert len(ec2_cloud.alive()) == 1


def test_ec2_has_console_output_and_s3_stores_objects(ec2_cloud: Cloud) -> None:
    import boto3

    machine = create(ec2_cloud)
    assert up(ec2_cloud, machine)
    assert "up" in ec2(ec2_cloud.endpoint).get_console_output(InstanceId=machine)["Output"]
    store = boto3.client("s3")
    store.create_bucket(Bucket="here")
    store.put_object(Bucket="here", Key="a/b", Body=b"12")
    assert store.get_object(Bucket="here", Key="a/b")["Body"].read() == b"12"
    s3 = [(call["action"], call["parameters"]) for call in ec2_cloud.calls() if call["service"] == "s3"]
    assert s3[1] == ("PutObject", {"Bucket": "here", "Key": "a/b"})
    assert s3[2][0] == "GetObject"


def test_gce_lists_by_label_in_pages(gce_cloud: Cloud) -> None:
    names = [create(gce_cloud, name=f"m-{number}") for number in range(3)]
    api = compute(gce_cloud.endpoint)
    found, pages = [], 0
    request = api.instances().aggregatedList(project="swath-test", filter="labels.swath-run=r1", maxResults=2)
    while request is not None:
        answer = request.execute()
        pages += 1
        found += [each["name"] for part in answer["items"].values() for each in part.get("instances", [])]
        request = api.instances().aggregatedList_next(request, answer)
    assert (sorted(found), pages) == (names, 2)
    other = api.instances().list(project="swath-test", zone="us-central1-a", filter="labels.swath-run=r2").execute()
    assert "items" not in other
    serial = api.instances().getSerialPortOutput(project="swath-test", zone="us-central1-a", instance=names[0])
    assert gce_cloud.until(lambda: "up" in serial.execute()["contents"], 5)


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_no_process_outlives_the_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    with started("gce", tmp_path / "cloud") as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        machine = create(cloud, "#cloud-config\nruncmd:\n  - systemd-run --on-active=1h poweroff\n  - sleep 1000\n")
        assert cloud.until(lambda: cloud.processes() >= 3, 5), cloud.console(machine)
        if how == "killed":
            os.kill(cloud.pid, signal.SIGKILL)
    assert cloud.until(lambda: not processes(cloud.root), 5)
