"""A cluster of machines with cloud and scheduler in memory: its plan, its waits, what it says, and how it closes."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest
from distributed.core import Status
from distributed.deploy.spec import SpecCluster

from swath.cluster.cloud.vm_process import FIREWALL
from swath.errors import CredentialsError, InfrastructureError
from tests.cluster.cloud.memory_cluster import LIMITS, MemoryCluster, until, with_cluster


def test_machines_are_planned_launched_and_removed_those_first_that_have_not_come_up() -> None:
    async def test(cluster: MemoryCluster) -> None:
        names = await cluster.planned(3)
        assert cluster.plan == cluster.requested == set(names)
        cluster.join(f"{names[1]}-0")
        assert cluster.observed == {names[1]}
        cluster.scale(1)
        assert cluster.plan == {names[1]}
        await until(lambda: len(cluster.cloud.listed) == 1)
        await cluster.scale_down(names)
        await until(lambda: not cluster.cloud.listed)
        cluster.scale_from_thread(2)
        await until(lambda: len(cluster.cloud.listed) == 2)

    with_cluster(test)


@pytest.mark.parametrize(
    ("status", "has_address", "planned"),
    [(Status.created, True, 0), (Status.starting, False, 0), (Status.starting, True, 2), (Status.closing, True, 0)],
)
def test_workers_are_launched_as_soon_as_the_scheduler_has_its_address(
    status: Status, has_address: bool, planned: int
) -> None:
    async def test(cluster: MemoryCluster) -> None:
        cluster.status = status
        cluster._launches_workers = has_address
        cluster.scale(2)
        assert len(cluster.plan) == planned
        await asyncio.sleep(0.02)
        assert len(cluster.workers) == planned
        cluster.status = Status.created

    with_cluster(test, up=False)


def test_the_least_number_is_launched_when_the_scheduler_has_its_address() -> None:
    async def test(cluster: MemoryCluster) -> None:
        cluster.status = Status.starting
        cluster.scheduler_has_address()
        assert len(cluster.plan) == 2
        await until(lambda: len(cluster.cloud.listed) == 2)
        cluster.status = Status.created

    with_cluster(test, up=False, workers={"min": 2, "max": 3})


def test_a_machine_is_complete_when_all_its_processes_have_come() -> None:
    async def test(cluster: MemoryCluster) -> None:
        waiting = asyncio.ensure_future(cluster.wait_for_machines(1))
        await until(lambda: cluster.cloud.listed)
        [name] = cluster.plan
        cluster.there.counts = {}
        cluster.join(f"{name}-0")
        await asyncio.sleep(0.05)
        assert not waiting.done(), "it has not said how many it starts"
        cluster.there.counts = {name: 2}
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert cluster.processes_per_machine == 2
        asked = len(cluster.there.asked)
        cluster.join(f"{name}-1")
        assert await waiting == 1
        assert len(cluster.there.asked) == asked, "it is not asked again"

    with_cluster(test)


def test_processes_of_a_machine_are_those_of_the_spec_until_one_has_told() -> None:
    async def test(cluster: MemoryCluster) -> None:
        assert cluster.processes_per_machine == 3
        cluster._process_counts = {"a": 2, "b": 4}
        assert cluster.processes_per_machine == 4

    with_cluster(test, processes=3)

    async def unknown(cluster: MemoryCluster) -> None:
        assert cluster.processes_per_machine == 1

    with_cluster(unknown)


def test_with_a_quorum_the_others_are_waited_for_a_short_time_only() -> None:
    async def test(cluster: MemoryCluster) -> None:
        names = await cluster.planned(2)
        cluster.there.counts = dict.fromkeys(names, 1)
        cluster.join(f"{names[0]}-0")
        began = time.monotonic()
        assert await cluster.wait_for_machines(2, quorum=1) == 1
        assert time.monotonic() - began >= LIMITS.stragglers_s
        waiting = asyncio.ensure_future(cluster.wait_for_machines(2, quorum=2))
        await asyncio.sleep(4 * LIMITS.stragglers_s)
        assert not waiting.done(), "they are not enough"
        cluster.join(f"{names[1]}-0")
        assert await waiting == 2

    with_cluster(test)


@pytest.mark.parametrize("quorum", [None, 2])
def test_an_error_that_keeps_machines_from_coming_up_ends_the_wait_unless_there_are_enough(quorum: int | None) -> None:
    async def test(cluster: MemoryCluster) -> None:
        names = await cluster.planned(3)
        cluster.there.counts = dict.fromkeys(names, 1)
        cluster.join(f"{names[0]}-0")
        cluster.repair.fatal = InfrastructureError("no room")
        with pytest.raises(InfrastructureError, match="no room"):
            await cluster.wait_for_machines(3, quorum)
        cluster.limits = dataclasses.replace(LIMITS, stragglers_s=60)
        cluster.join(f"{names[1]}-0")
        if quorum is not None:
            assert await cluster.wait_for_machines(3, quorum) == 2

    with_cluster(test)


def test_what_is_known_of_a_cluster_that_is_not_up() -> None:
    async def test(cluster: MemoryCluster) -> None:
        assert cluster.client_address == "tls://10.0.0.1:8786"
        cluster.scheduler.external_address = "tls://1.2.3.4:8786"
        assert cluster.client_address == "tls://1.2.3.4:8786"
        assert cluster.problem() == "machines are up"
        await cluster.planned(2)
        names = list(cluster.workers)
        assert cluster.problem() == f"no worker has come from {', '.join(names)}"
        cluster.join(f"{names[0]}-0")
        assert cluster.problem() == f"no worker has come from {names[1]}"
        assert await cluster.diagnosis() == (cluster.problem(), "")
        cluster.status = Status.starting
        assert cluster.problem() == "the scheduler's machine is not up"
        assert await cluster.diagnosis() == (cluster.problem(), "")
        cluster.scheduler.unreached = "1.2.3.4:8786 (no answer)"
        assert "runs on r-1-scheduler, but it is not reached from here at 1.2.3.4" in cluster.problem()
        assert await cluster.diagnosis() == (cluster.problem(), FIREWALL)

        async def console() -> str:
            return "Traceback"

        cluster.scheduler.console = console
        text, _ = await cluster.diagnosis()
        assert text == f"{cluster.problem()}; its console:\nTraceback"
        cluster.status = Status.running
        assert (await cluster.diagnosis())[1] == "", "it was reached"
        cluster.repair.last_error = InfrastructureError("no room")
        assert cluster.problem() == "no room"

    with_cluster(test)


def test_calls_that_no_machine_can_run_are_an_error() -> None:
    async def test(cluster: MemoryCluster) -> None:
        cluster.check({"gpu": 1})  # no worker has come yet
        cluster.join("m-0", cpu=1.0)
        cluster.check({"cpu": 1})
        with pytest.raises(InfrastructureError, match="gpu 1") as caught:
            cluster.check({"gpu": 1})
        assert caught.value.remedy == "set cluster.machine to one that has more"
        cluster.repair.fatal = CredentialsError("no right")
        with pytest.raises(CredentialsError):
            cluster.check({})

    with_cluster(test)


def test_idle_machines_are_up_and_run_no_call() -> None:
    async def test(cluster: MemoryCluster) -> None:
        names = await cluster.planned(3)
        cluster.join(f"{names[0]}-0", f"{names[0]}-1", f"{names[1]}-0")
        cluster.there.busy = {f"tls://{names[0]}-0": [], f"tls://{names[0]}-1": ["call"], "tls://unknown": ["call"]}
        assert await cluster.idle_machines() == [names[1]]
        cluster._update_worker_status("remove", f"tls://{names[1]}-0")
        assert await cluster.idle_machines() == []

    with_cluster(test)


def test_a_machine_hands_over_its_results_before_it_is_terminated() -> None:
    async def test(cluster: MemoryCluster) -> None:
        for error in (None, OSError("cut"), TimeoutError()):
            [name] = await cluster.planned(1)
            cluster.join(f"{name}-0")
            cluster.there.error = error
            cluster.scale(0)
            await until(lambda: not cluster.cloud.listed)
            options = {"names": [f"{name}-0"], "close_workers": False, "remove": True}
            assert [asked for what, asked in cluster.there.asked if what == "retire"][-1] == options
        before = len(cluster.there.asked)
        await cluster.planned(1)
        cluster.scale(0)
        await until(lambda: not cluster.cloud.listed)
        assert len(cluster.there.asked) == before, "there was no process to retire"

    with_cluster(test)


def test_a_machine_that_is_removed_while_it_starts_is_terminated() -> None:
    async def test(cluster: MemoryCluster) -> None:
        cluster.cloud.open.clear()
        cluster.scale(1)
        await until(cluster.cloud.asked.is_set)
        cluster.scale(0)
        await until(lambda: not cluster.workers)
        cluster.cloud.open.set()
        await until(lambda: cluster.machines.created)
        await until(lambda: not cluster.cloud.listed)

    with_cluster(test)


def test_a_launch_after_a_failure_waits_and_is_left_when_its_machine_is_not_wanted_any_more() -> None:
    async def test(cluster: MemoryCluster) -> None:
        cluster.repair._failures = 1
        assert cluster.repair.pause_s > 0
        cluster.scale(1)
        await until(lambda: cluster.workers)
        cluster.worker_spec.clear()
        await asyncio.sleep(0.1)
        assert not cluster.cloud.listed

    with_cluster(test, limits=dataclasses.replace(LIMITS, pause_s=0.01))


def test_a_machine_that_comes_up_resets_the_failures_and_is_registered() -> None:
    async def test(cluster: MemoryCluster) -> None:
        [name] = await cluster.planned(1)
        cluster.repair._failures = 2
        cluster._note_machines(set())
        assert cluster.repair._failures == 2
        assert not cluster.workers[name].registered
        cluster.join(f"{name}-0", "another-0")
        assert cluster.repair._failures == 0
        assert cluster.workers[name].registered

    with_cluster(test)


def test_a_background_task_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test(cluster: MemoryCluster) -> None:
        async def fail() -> None:
            raise ZeroDivisionError("by nothing")

        cluster.run_in_background(fail())
        cluster.run_in_background(asyncio.sleep(60))
        await until(lambda: len(cluster._tasks) == 1)
        [slow] = cluster._tasks
        slow.cancel()
        await until(lambda: not cluster._tasks)

    with_cluster(test)
    assert caplog.text.count("a background task of the cluster has failed") == 1
    assert "by nothing" in caplog.text


@pytest.mark.parametrize("error", [None, OSError("cut")])
def test_closing_ends_the_scheduler_and_terminates_all_machines_once(error: Exception | None) -> None:
    async def test(cluster: MemoryCluster) -> None:
        await cluster.planned(2)
        cluster.there.error = error
        cluster.run_in_background(asyncio.sleep(60))
        tasks = list(cluster._tasks)
        cluster._watch_worker_status_task = None  # type: ignore[assignment]
        await cluster.shut_down()
        assert cluster.machines.closing
        assert (cluster.status, cluster.cloud.listed) == (Status.closed, {})
        assert (cluster.workers, cluster.worker_spec) == ({}, {})
        assert [what for what, _ in cluster.there.asked] == ["terminate", "closed"]
        assert all(each.cancelled() or each.done() for each in tasks)
        await cluster.shut_down()
        assert len(cluster.there.asked) == 2

    with_cluster(test)


def test_a_scheduler_that_never_ran_is_not_asked_to_end() -> None:
    async def test(cluster: MemoryCluster) -> None:
        await cluster.shut_down()
        assert cluster.there.asked == []
        assert cluster.status == Status.closed

    with_cluster(test, up=False)


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (CredentialsError("no right"), CredentialsError, "^no right"),
        (ZeroDivisionError("by nothing"), InfrastructureError, "did not come up: Cluster failed to start"),
    ],
)
def test_a_scheduler_that_does_not_start_is_its_own_error(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, kind: type[Exception], said: str
) -> None:
    async def start(cluster: Any) -> None:
        raise RuntimeError("Cluster failed to start") from cause

    async def test(cluster: MemoryCluster) -> None:
        monkeypatch.setattr(SpecCluster, "_start", start)
        with pytest.raises(kind, match=said):
            await cluster.start_scheduler()

    with_cluster(test, up=False)


def test_a_scheduler_that_starts_is_watched_and_the_least_number_of_machines_is_launched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched: list[bool] = []

    async def start(cluster: MemoryCluster) -> None:
        cluster.up()

    async def watch() -> None:
        watched.append(True)

    async def test(cluster: MemoryCluster) -> None:
        monkeypatch.setattr(SpecCluster, "_start", start)
        monkeypatch.setattr(cluster.repair, "watch", watch)
        await cluster.start_scheduler()
        await until(lambda: watched and len(cluster.cloud.listed) == 2)

    with_cluster(test, up=False, workers={"min": 2, "max": 2})
