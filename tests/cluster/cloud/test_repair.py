"""Lost machines are replaced; repeated failures end the run, or the launches."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from typing import Any

import pytest
from distributed.core import Status

from swath.cluster.cloud.limits import RepairLimits
from swath.cluster.cloud.machine_pool import MachinePool
from swath.cluster.cloud.repair import ClusterRepair
from swath.cluster.cloud.vm_process import VmProcess
from swath.cluster.providers.contract import LaunchRequest
from swath.errors import CredentialsError, InfrastructureError, SwathError
from tests.cluster.cloud.providers import MemoryCloud
from tests.cluster.specs import gcp_spec

LIMITS = RepairLimits(
    poll_s=0.01, unlisted_s=0.0, silent_s=0.05, pause_s=1.0, max_pause_s=60.0, failures=3, max_failures=4
)


class FakeCluster:
    """The part of a cluster that its repair uses: machines at once, processes at the scheduler as a test says."""

    def __init__(self) -> None:
        self.cloud = MemoryCloud()
        self.spec, self.label, self.protocol, self.limits = gcp_spec(start_timeout_s=60), "run-1", "tls", LIMITS
        self.machines = MachinePool(self.cloud)
        self.status = Status.running
        self.worker_spec: dict[str, Any] = {}
        self.workers: dict[str, VmProcess] = {}
        self.processes: dict[str, list[str]] = {}
        self.scheduler_lost = False
        self.silent: list[str] = []
        self.scheduler = VmProcess(self, "run-1-scheduler", "scheduler")
        self.repair = ClusterRepair(self)
        self.added = 0

    @property
    def observed(self) -> set[str]:
        return {name for name in self.worker_spec if self.processes_of(name)}

    def launch_request(self, name: str, role: str) -> LaunchRequest:
        return LaunchRequest(name, role, "n2-standard-4", False, self.label, 2e9, "#cloud-config\n")

    def scheduler_has_address(self) -> None:
        pass

    async def silent_processes(self) -> list[str]:
        return self.silent

    def add_machine(self) -> None:
        self.added += 1

    def processes_of(self, machine: str) -> list[str]:
        return self.processes.get(machine, [])

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        self.last = asyncio.ensure_future(work)

    async def start(self, name: str, role: str = "worker") -> VmProcess:
        process = self.scheduler if role == "scheduler" else VmProcess(self, name, role)
        await self.machines.launch(self.launch_request(process.name, role))
        process.status = Status.running
        if role == "worker":
            self.worker_spec[name], self.workers[name] = {}, process
            self.processes[name] = [f"{name}-0"]
            process.registered = True
        return process


async def watch_until(cluster: FakeCluster, condition: Any) -> None:
    watching = asyncio.ensure_future(cluster.repair.watch())
    for _ in range(2000):
        if condition():
            break
        await asyncio.sleep(0.01)
    assert condition()
    cluster.status = Status.closing
    await watching
    cluster.machines.shut_down()


def test_a_machine_that_the_cloud_does_not_list_any_more_is_replaced() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        await cluster.start("", "scheduler")
        await cluster.start("m-1")
        stays = await cluster.start("m-2")
        del cluster.cloud.listed["i-m-1"]
        await watch_until(cluster, lambda: cluster.added == 1)
        assert list(cluster.workers.values()) == [stays]
        assert "was taken back by the cloud" in str(cluster.repair.last_error)
        assert cluster.repair.fatal is None
        assert cluster.repair.pause_s == 0.0, "a preemption is no failure"

    asyncio.run(use())


def test_a_machine_without_worker_processes_is_replaced_and_terminated() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        await cluster.start("", "scheduler")
        await cluster.start("m-1")
        cluster.processes["m-1"] = []
        await watch_until(cluster, lambda: cluster.added == 1 and "i-m-1" not in cluster.cloud.listed)
        assert "has no worker process any more" in str(cluster.repair.last_error)

    asyncio.run(use())


def test_a_machine_that_does_not_answer_is_replaced_and_terminated() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        await cluster.start("", "scheduler")
        await cluster.start("m-1")
        stays = await cluster.start("m-2")
        cluster.silent = ["m-1-0"]
        await watch_until(cluster, lambda: cluster.added == 1 and "i-m-1" not in cluster.cloud.listed)
        assert list(cluster.workers.values()) == [stays]
        assert "has not answered for 60 s" in str(cluster.repair.last_error)

    asyncio.run(use())


def test_a_machine_that_does_not_boot_within_its_limit_is_replaced() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        cluster.limits = dataclasses.replace(LIMITS, boot_s=0.1)
        cluster.repair = ClusterRepair(cluster)
        await cluster.start("", "scheduler")
        process = await cluster.start("m-1")
        process.registered, cluster.processes["m-1"] = False, []
        await watch_until(cluster, lambda: cluster.added == 1 and "i-m-1" not in cluster.cloud.listed)
        assert "had no worker process after 0.1 s" in str(cluster.repair.last_error)

    asyncio.run(use())


def test_without_its_scheduler_a_run_ends() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        await cluster.start("", "scheduler")
        cluster.scheduler_lost = True
        await watch_until(cluster, lambda: cluster.repair.fatal is not None)
        assert "the scheduler, on run-1-scheduler, is lost" in str(cluster.repair.fatal)

    asyncio.run(use())


@pytest.mark.parametrize("up", [False, True])
def test_failures_in_a_row_pause_longer_and_end_the_run_only_when_it_has_no_machine(up: bool) -> None:
    async def use() -> None:
        cluster = FakeCluster()
        if up:
            await cluster.start("m-0")
        pauses = []
        for number in range(1, LIMITS.max_failures + 1):
            process = VmProcess(cluster, f"m-{number}", "worker")
            cluster.worker_spec[process.name], cluster.workers[process.name] = {}, process
            cluster.repair.replace(process, InfrastructureError("no capacity"))
            await cluster.last
            pauses.append(cluster.repair.pause_s)
        assert pauses == [2.0, 4.0, 8.0, 16.0]
        assert (cluster.repair.fatal is None) == up
        assert cluster.repair.reason is not None
        assert cluster.added == (LIMITS.max_failures - 1 if up else LIMITS.failures - 1)
        cluster.repair.reset_failures()
        assert cluster.repair.pause_s == 0.0
        cluster.machines.shut_down()

    asyncio.run(use())


def test_missing_rights_end_the_run_at_once() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        process = await cluster.start("m-1")
        error: SwathError = CredentialsError("not allowed")
        cluster.repair.replace(process, error)
        await cluster.last
        assert cluster.repair.fatal is error
        assert cluster.added == 0
        cluster.machines.shut_down()

    asyncio.run(use())


def test_a_machine_has_its_time_to_boot_and_no_more() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        cluster.repair._limits = dataclasses.replace(LIMITS, boot_s=20.0)
        process = await cluster.start("m-1")
        process.registered, cluster.processes["m-1"] = False, []
        await cluster.repair._check(process, set(cluster.cloud.listed), set())
        assert cluster.repair.last_error is None
        process.began -= 21.0
        await cluster.repair._check(process, set(cluster.cloud.listed), set())
        assert "had no worker process after 20 s" in str(cluster.repair.last_error)
        await cluster.last
        cluster.machines.shut_down()

    asyncio.run(use())


def test_a_machine_without_processes_is_replaced_after_its_time_and_not_before() -> None:
    async def use() -> None:
        cluster = FakeCluster()
        cluster.repair._limits = dataclasses.replace(LIMITS, silent_s=20.0)
        process = await cluster.start("m-1")
        cluster.processes["m-1"] = []
        for _ in range(2):
            await cluster.repair._check(process, set(cluster.cloud.listed), set())
        assert cluster.repair.last_error is None
        assert process.silent_since is not None
        process.silent_since -= 21.0
        await cluster.repair._check(process, set(cluster.cloud.listed), set())
        assert "has no worker process any more" in str(cluster.repair.last_error)
        await cluster.last
        cluster.machines.shut_down()

    asyncio.run(use())
