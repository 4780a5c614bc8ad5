"""A cluster is launched in the next region when one has no room, and of each region that was tried it is known what is left there."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swath import crashpoint
from swath.cluster.cloud import cloud
from swath.cluster.cloud.cloud import CloudMachines
from swath.cluster.providers.contract import LaunchRequest
from swath.cluster.providers.machine import Machine
from swath.cluster.providers.placement import NoCapacity
from swath.cluster.teardown import leased
from swath.cluster.teardown.lease import CloudLease
from swath.errors import InfrastructureError, TeardownError
from swath.spec.clusters.cloud import AwsCluster
from swath.testing.cluster import SuiteRun, suite_run
from tests.clouds.control import Cloud
from tests.clouds.projects import QUICK, project
from tests.cluster.cloud.providers import MemoryCloud
from tests.faults.projects import check_journal, check_nothing_left, tiles

REGIONS = ("eu-central-1", "eu-west-1")
SPEC = AwsCluster(
    kind="aws",
    region=REGIONS[0],
    image="acme/swath:1",
    security_groups=["sg-1"],
    regions=[{"region": REGIONS[1], "security_groups": ["sg-2"]}],
)


@dataclass
class RegionCloud(MemoryCloud):
    """One region, which launches no machine."""

    answer: Exception = field(default_factory=lambda: InfrastructureError("there is no account"))
    groups: Sequence[str] = ()
    """Security groups that it was asked for."""

    def launch(self, request: LaunchRequest) -> Machine:
        if isinstance(
            self.answer, NoCapacity
        ):  # a machine that comes up after the answer was lost is one of the run, too
            super().launch(request)
        raise self.answer


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> dict[str, RegionCloud]:
    """Two regions, the first without room, and no guardian's process: `guarded` notes whom it guards in the fleet's listing."""
    found = {name: RegionCloud(place=name) for name in REGIONS}
    found[REGIONS[0]].answer = NoCapacity("eu-central-1 is full")

    def provider(spec: AwsCluster) -> RegionCloud:
        found[spec.region].groups = spec.security_groups
        return found[spec.region]

    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SWATH_CLOUD_QUIET_S", "0.05")
    monkeypatch.setattr(cloud, "provider_of", provider)
    monkeypatch.setattr(leased, "fleet_of", lambda kind, place: found[place])
    return found


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What guardians are told: `REGION` when one begins, `REGION gone` when it is released."""
    told: list[str] = []

    class Guard:
        def __init__(self, place: str) -> None:
            self.place = place

        def ending(self) -> None:
            pass

        def release(self) -> None:
            told.append(f"{self.place} gone")

    @contextlib.contextmanager
    def begin(lease: CloudLease, state: Path) -> Iterator[Guard]:
        told.append(lease.place)
        yield Guard(lease.place)

    monkeypatch.setattr(leased, "guarded", begin)
    return told


@pytest.fixture
def run(regions: dict[str, RegionCloud], tmp_path: Path) -> Iterator[SuiteRun]:
    with suite_run(tmp_path / "state", lambda: [name for each in regions.values() for name in each.listed]) as found:
        yield found


def test_the_next_region_is_tried_when_nothing_is_left_in_the_one_before(
    regions: dict[str, RegionCloud], guarded: list[str], run: SuiteRun
) -> None:
    with pytest.raises(InfrastructureError, match="there is no account"), CloudMachines(SPEC, run.context):
        pass
    assert guarded == [REGIONS[0], f"{REGIONS[0]} gone", REGIONS[1], f"{REGIONS[1]} gone"]
    assert [what for what, _ in run.leases] == ["written", "ended", "written", "ended"]
    assert all(not existing for _, existing in run.leases), "no lease begins or ends while there is a machine"
    assert regions[REGIONS[1]].groups == ["sg-2"]
    (warning,) = [text for level, text in run.messages if level == "warning"]
    assert warning.startswith("eu-central-1 is full; the cluster is launched in eu-west-1")


def test_where_no_region_has_room_the_error_names_them_all(
    regions: dict[str, RegionCloud], guarded: list[str], run: SuiteRun
) -> None:
    regions[REGIONS[1]].answer = NoCapacity("eu-west-1 is full", remedy="wait")
    with pytest.raises(NoCapacity) as caught, CloudMachines(SPEC, run.context):
        pass
    assert caught.value.message == "no region has room: eu-central-1 is full; eu-west-1 is full"
    assert not run.open_leases()


def test_a_region_in_which_something_may_be_left_is_not_left_for_another(
    regions: dict[str, RegionCloud], guarded: list[str], run: SuiteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWATH_CLOUD_WITHIN_S", "0.2")
    regions[REGIONS[0]].refusing = True
    with pytest.raises(TeardownError), CloudMachines(SPEC, run.context):
        pass
    assert guarded == [REGIONS[0]], "its guardian is not released, and no other region is begun"
    (lease,) = run.open_leases()
    assert lease.startswith(f"aws:{REGIONS[0]}:")


def test_a_client_that_ends_between_two_regions_leaves_no_lease_and_no_machine(
    regions: dict[str, RegionCloud], guarded: list[str], run: SuiteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(point: str) -> None:
        if point == "moving":
            raise KeyboardInterrupt

    monkeypatch.setattr(crashpoint, "reached", end)
    with pytest.raises(KeyboardInterrupt), CloudMachines(SPEC, run.context):
        pass
    assert guarded == [REGIONS[0], f"{REGIONS[0]} gone"]
    assert not run.open_leases()
    assert not any(each.listed for each in regions.values())


@pytest.mark.slow
@pytest.mark.timeout(900)  # its own waits are longer than the default
def test_a_run_that_is_killed_in_its_second_region_leaves_nothing_and_is_resumed_there(
    gce_cloud: Cloud, tmp_path: Path
) -> None:
    pipe = project(tmp_path / "project", gce_cloud, zones=["us-east1-b"])
    gce_cloud.stock_out()
    spec = tiles(pipe, cluster="cloud", n=2)
    # `launched` is the second time in the second region: in the first the request was accepted, and refused later.
    done = pipe("run", spec, code=None, timeout=200, env={"SWATH_CRASH_AT": "launched@2:KILL"})
    assert done.code == -signal.SIGKILL, done.err
    assert gce_cloud.empty(90), "the guardian knows the second region, too"
    gce_cloud.clear_faults()
    gce_cloud.stock_out()
    pipe("resume", "last", timeout=300)
    inserted = [each["parameters"]["zone"] for each in gce_cloud.calls() if each["action"] == "instances.insert"]
    assert inserted == ["us-central1-a", "us-east1-b", "us-central1-a", "us-east1-b", "us-east1-b"]
    shown = pipe("runs", "show", "last").out
    assert "worker 1 x n2-standard-4 in us-east1-b" in shown
    assert "scheduler 1 x e2-medium in us-east1-b" in shown
    assert gce_cloud.empty(60)
    check_journal(pipe)
    check_nothing_left(pipe)
