"""Machines on Compute Engine are asked for as the spec says, end themselves, and what is refused is told with its remedy."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import dask
import distributed
import pytest
from distributed.utils import LoopRunner

from swath.cluster import boot, tls
from swath.cluster.gce import GceFleet, machine, refusal, tail
from swath.cluster.gcp import GceMaker, gce_cluster, has_gpus, instance, name_of
from swath.cluster.machine import Machine
from swath.cluster.maker import Order
from swath.cluster.removal import remove_all
from swath.cluster.settings import SETTINGS
from swath.errors import CredentialsError, InfrastructureError, SwathError, UsageError
from swath.spec.cloud import GcpCluster
from tests.clouds.control import Cloud, started


def spec(**fields: Any) -> GcpCluster:
    given = {"project": "acme-maps", "zone": "europe-west4-a", "image": "ghcr.io/acme/swath:1", **fields}
    return GcpCluster(kind="gcp", **given)


def asked(role: str = "worker", **fields: Any) -> dict[str, Any]:
    return instance(
        spec(**fields),
        name="swath-w1",
        role=role,
        label="run-1",
        expires=1767225600.2,
        seconds=3599.5,
        user_data="#cloud-config\n",
    )


def test_every_machine_and_its_disk_are_labelled_and_end_at_the_limit_from_the_create_call_on() -> None:
    for role in ("scheduler", "worker"):
        body = asked(role)
        labels = {"swath-run": "run-1", "swath-expires": "1767225601", "swath-role": role}
        [disk] = body["disks"]
        assert body["labels"] == disk["initializeParams"]["labels"] == labels
        assert disk["autoDelete"] is True
        assert body["scheduling"]["maxRunDuration"] == {"seconds": "3600"}
        assert body["scheduling"]["instanceTerminationAction"] == "DELETE"
        assert body["scheduling"]["automaticRestart"] is False


def test_workers_alone_are_spot_machines_and_never_by_the_old_field() -> None:
    scheduler, worker = asked("scheduler", spot=True)["scheduling"], asked("worker", spot=True)["scheduling"]
    assert (scheduler["provisioningModel"], scheduler["onHostMaintenance"]) == ("STANDARD", "MIGRATE")
    assert (worker["provisioningModel"], worker["onHostMaintenance"]) == ("SPOT", "TERMINATE")
    assert "preemptible" not in worker
    assert asked("worker")["scheduling"]["provisioningModel"] == "STANDARD"


def test_gpus_are_added_to_workers_only_where_the_machine_type_has_none() -> None:
    t4 = {"machine": "n1-standard-4", "gpus": {"type": "nvidia-tesla-t4", "count": 2}}
    [gpus] = asked("worker", **t4)["guestAccelerators"]
    assert gpus["acceleratorCount"] == 2
    assert gpus["acceleratorType"] == "projects/acme-maps/zones/europe-west4-a/acceleratorTypes/nvidia-tesla-t4"
    assert asked("worker", **t4)["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert "guestAccelerators" not in asked("scheduler", **t4)
    g2 = asked("worker", machine="g2-standard-8")
    assert "guestAccelerators" not in g2
    assert g2["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert [has_gpus(spec(**each)) for each in (t4, {"machine": "g2-standard-8"}, {})] == [True, True, False]


@pytest.mark.parametrize(
    ("fields", "network", "subnetwork"),
    [
        ({}, "acme-maps/global/networks/default", "acme-maps/regions/europe-west4/subnetworks/default"),
        ({"network": "maps"}, "acme-maps/global/networks/maps", "acme-maps/regions/europe-west4/subnetworks/maps"),
        ({"subnetwork": "blue"}, None, "acme-maps/regions/europe-west4/subnetworks/blue"),
        (
            {"network": "n", "subnetwork": "s"},
            "acme-maps/global/networks/n",
            "acme-maps/regions/europe-west4/subnetworks/s",
        ),
        (
            {"network": "projects/host/global/networks/shared"},
            "host/global/networks/shared",
            "host/regions/europe-west4/subnetworks/shared",
        ),
        (
            {"subnetwork": "projects/host/regions/europe-west4/subnetworks/s"},
            None,
            "host/regions/europe-west4/subnetworks/s",
        ),
    ],
)
def test_the_network_is_the_one_that_the_spec_names(
    fields: dict[str, str], network: str | None, subnetwork: str
) -> None:
    [interface] = asked(**fields)["networkInterfaces"]
    assert interface.get("network") == (f"projects/{network}" if network else None)
    assert interface["subnetwork"] == f"projects/{subnetwork}"


def test_a_machine_without_public_ip_has_no_address_on_the_internet() -> None:
    assert "accessConfigs" in asked()["networkInterfaces"][0]
    assert "accessConfigs" not in asked(public_ip=False)["networkInterfaces"][0]


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({}, "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"),
        ({"machine": "t2a-standard-4"}, "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64"),
        ({"machine_image": "swath-1"}, "projects/acme-maps/global/images/swath-1"),
        ({"machine_image": "family/swath"}, "projects/acme-maps/global/images/family/swath"),
        ({"machine_image": "projects/p/global/images/i"}, "projects/p/global/images/i"),
        (
            {"machine_image": "https://www.googleapis.com/compute/v1/projects/p/global/images/i"},
            "projects/p/global/images/i",
        ),
    ],
)
def test_the_machine_image_is_a_name_a_family_or_a_whole_path(fields: dict[str, str], source: str) -> None:
    assert asked(**fields)["disks"][0]["initializeParams"]["sourceImage"] == source


def test_a_machine_boots_from_a_disk_that_its_type_takes() -> None:
    kinds = {
        each: asked(machine=each)["disks"][0]["initializeParams"]["diskType"]
        for each in ("n2-standard-4", "n4-standard-4")
    }
    assert [kind.rpartition("/")[2] for kind in kinds.values()] == ["pd-balanced", "hyperdisk-balanced"]


def test_machines_may_read_and_write_buckets_with_the_account_of_the_spec() -> None:
    [account] = asked(service_account="worker@acme-maps.iam.gserviceaccount.com")["serviceAccounts"]
    assert account["email"] == "worker@acme-maps.iam.gserviceaccount.com"
    assert account["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]
    assert asked()["serviceAccounts"][0]["email"] == "default"


def test_a_name_is_one_that_compute_engine_takes_and_keeps_what_makes_it_unlike_others() -> None:
    long = name_of("2026_" + "x" * 58 + "-9558aaa6")
    assert len(long) == 63
    assert long.startswith("swath-x")
    assert long.endswith("-9558aaa6")
    assert name_of("20260301-my_run-1a2b-scheduler") == "swath-20260301-my-run-1a2b-scheduler"


# --- what is refused


def told(status: int, message: str, reason: str = "") -> CredentialsError | InfrastructureError:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message, "domain": "global"}]}
    said = refusal("acme-maps", status, json.dumps({"error": error}).encode())
    assert message in said.message
    assert isinstance(said, CredentialsError | InfrastructureError)
    return said


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind", "remedy"),
    [
        (
            403,
            "quotaExceeded",
            "Quota 'CPUS' exceeded.  Limit: 24.0 in region europe-west4.",
            InfrastructureError,
            "quotas",
        ),
        (
            403,
            "forbidden",
            "Required 'compute.instances.create' permission for 'projects/p'",
            CredentialsError,
            "infra/iam",
        ),
        (
            403,
            "forbidden",
            "Required 'compute.subnetworks.use' permission for 'projects/p/regions/r/subnetworks/s'",
            CredentialsError,
            "infra/iam",
        ),
        (
            403,
            "accessNotConfigured",
            "Compute Engine API has not been used in project 1",
            InfrastructureError,
            "enable",
        ),
        (401, "authError", "Request had invalid authentication credentials.", CredentialsError, "gcloud auth"),
        (
            404,
            "notFound",
            "The resource 'projects/p/regions/r/subnetworks/blue' was not found",
            InfrastructureError,
            "cluster.subnetwork",
        ),
        (
            404,
            "notFound",
            "The resource 'projects/p/global/images/family/swath' was not found",
            InfrastructureError,
            "cluster.machine_image",
        ),
        (
            400,
            "invalid",
            "Invalid value for field 'resource.machineType': 'zones/z/machineTypes/n9'. Machine type with name 'n9' does not"
            " exist in zone 'z'.",
            InfrastructureError,
            "cluster.machine",
        ),
        (404, "notFound", "The resource 'projects/nobody' was not found", InfrastructureError, "cluster.project"),
        (503, "backendError", "Backend error", InfrastructureError, ""),
    ],
)
def test_a_refusal_says_what_is_missing_and_what_to_do(
    status: int, reason: str, message: str, kind: type[Exception], remedy: str
) -> None:
    said = told(status, message, reason)
    assert isinstance(said, kind)
    assert remedy in said.remedy


def test_an_answer_that_is_no_json_is_told_too() -> None:
    assert "502 Bad Gateway" in refusal("p", 502, b"<h1>502 Bad Gateway</h1>").message
    assert "HTTP 500" in refusal("p", 500, b"").message


# --- the fleet


def test_a_stopped_machine_and_one_with_labels_that_cannot_be_read_are_machines_too() -> None:
    listed = {
        "id": "42",
        "name": "swath-w1",
        "status": "TERMINATED",
        "machineType": "https://host/compute/v1/projects/p/zones/z/machineTypes/n2-standard-4",
        "labels": {"swath-run": "r", "swath-role": "worker", "swath-expires": "1767225601"},
    }
    assert machine("z", listed) == Machine(
        "42", "swath-w1", "r", "worker", 1767225601, "z", "TERMINATED", "n2-standard-4"
    )
    assert machine("z", {"name": "n", "labels": {"swath-expires": "soon"}}).expires == 0


def test_the_tail_of_a_console_is_what_was_said_last_without_colours() -> None:
    console = "boot\r\n\x1b[0;32mdocker: pull\x1b[0m\r\n\r\n\x07manifest unknown\r\n"
    assert tail(console, 2) == "docker: pull\nmanifest unknown"


def test_the_command_that_removes_a_machine_by_hand_names_project_and_zone() -> None:
    gone = Machine("42", "swath-w1", "r", "worker", 0, "europe-west4-a", "RUNNING")
    command = GceFleet("acme-maps").removal(gone)
    assert command == "gcloud compute instances delete swath-w1 --project=acme-maps --zone=europe-west4-a --quiet"


# --- on a simulated Compute Engine


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


def order(name: str, *, role: str = "worker", seconds: float = 3600) -> Order:
    return Order(name, role, "n2-standard-4", False, "run-1", time.time() + seconds, "#cloud-config\n")


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
    made = GceMaker(there(cloud)).make(order("run-1-a"))
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
    maker = GceMaker(there(cloud))
    made = maker.make(order("run-1-a", seconds=3600))
    assert dataclasses.replace(maker.fleet.machines()[0], state="") == dataclasses.replace(made, state="")
    assert cloud.empty()
    assert maker.fleet.machines() == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_machine_that_nobody_deletes_deletes_itself_where_it_may(cloud: Cloud, allowed: bool) -> None:
    cloud.self_removal(allowed)
    words = ("python", "-m", "swath.cluster.selfremoval", "--after-s", "0")
    made = boot.Boot("swath:1", ("false",), {}, 0, afterwards=words)
    name = "run-1-worker-1"
    GceMaker(there(cloud)).make(dataclasses.replace(order(name), user_data=boot.user_data(made)))
    if allowed:
        assert cloud.until(lambda: not cloud.alive())
        assert [call["who"] for call in cloud.calls() if call["action"] == "instances.delete"] == ["machine"]
    else:
        assert cloud.until(lambda: "may not delete itself" in cloud.console(name_of(name)))
        assert cloud.names() == [name_of(name)]


def test_what_is_not_there_is_named(cloud: Cloud) -> None:
    with pytest.raises(InfrastructureError, match=r"(?s)missing-net.*cluster\.(sub)?network"):
        GceMaker(there(cloud, network="missing-net")).make(order("run-1-a"))


def test_gpus_need_a_machine_image_with_their_driver() -> None:
    with pytest.raises(UsageError, match="machine_image"):
        GceMaker(spec(machine="g2-standard-8"))


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
    monkeypatch.setattr("swath.cluster.gce.RETRIES", 0)
    with pytest.raises(SwathError, match="does not answer") as caught:
        GceFleet("acme-maps").machines()
    assert caught.value.exit_code == 5
