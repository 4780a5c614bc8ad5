from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import Event
from distributed.deploy.adaptive import Adaptive
from hypothesis import given
from hypothesis import strategies as st

from swath.cluster.local.local import Local
from swath.cluster.workers.autoscaling import (
    Autoscaler,
    Backlog,
    MachineScaling,
    Scaling,
    ScalingLimits,
    target_workers,
    useful_workers,
)
from swath.spec.clusters.cluster import LocalCluster
from swath.spec.clusters.workers import Workers
from tests.waiting import until

LIMITS = ScalingLimits()
backlogs = st.builds(Backlog, st.integers(0, 10**7), st.none() | st.floats(0, 1e9))
ranges = [Workers(min=least, max=most) for least in (1, 2, 7, 64) for most in (1, 2, 3, 8, 64) if least <= most]
allowed_workers = st.sampled_from(ranges)
counts = st.integers(0, 100)
surpluses = st.floats(0, 100)


def target(backlog: Backlog, workers: int, surplus_s: float, allowed: Workers) -> int:
    return target_workers(useful_workers(backlog, workers), workers, surplus_s, allowed, LIMITS)


@given(backlogs, counts, surpluses, allowed_workers)
def test_the_target_is_always_within_what_the_spec_allows(
    backlog: Backlog, workers: int, surplus_s: float, allowed: Workers
) -> None:
    assert allowed.min <= target(backlog, workers, surplus_s, allowed) <= allowed.max


@given(backlogs, surpluses, allowed_workers, st.data())
def test_workers_are_removed_only_after_an_idle_time_and_added_at_once(
    backlog: Backlog, surplus_s: float, allowed: Workers, data: st.DataObject
) -> None:
    workers = data.draw(st.integers(allowed.min, allowed.max))
    number = target(backlog, workers, surplus_s, allowed)
    if number < workers:
        assert surplus_s >= LIMITS.idle_s
    if useful_workers(backlog, workers) > workers:
        assert number == min(allowed.max, useful_workers(backlog, workers))


@given(backlogs, counts, surpluses, allowed_workers, st.integers(0, 10**6), st.floats(0, 1e6))
def test_more_work_never_needs_fewer_workers(
    backlog: Backlog, workers: int, surplus_s: float, allowed: Workers, calls: int, seconds: float
) -> None:
    more = Backlog(backlog.calls + calls, None if backlog.seconds is None else backlog.seconds + seconds)
    assert target(more, workers, surplus_s, allowed) >= target(backlog, workers, surplus_s, allowed)


def test_a_worker_is_useful_for_some_seconds_of_work_and_there_are_never_more_than_calls() -> None:
    assert useful_workers(Backlog(1000, 4 * LIMITS.worth_s), 1) == 4
    assert useful_workers(Backlog(3, 1000 * LIMITS.worth_s), 1) == 3
    assert useful_workers(Backlog(1000, None), 4) == 8
    assert useful_workers(Backlog(0, 0.0), 4) == 0


def test_a_machine_is_useful_when_all_its_processes_are() -> None:
    limits = ScalingLimits(worth_s=60.0)
    assert useful_workers(Backlog(1000, 16 * 60.0), 1, limits, 4) == 4
    assert useful_workers(Backlog(5, 1e6), 1, limits, 4) == 2
    assert useful_workers(Backlog(1000, None), 2, limits, 4) == 4
    assert useful_workers(Backlog(0, 0.0), 2, limits, 4) == 0


def test_a_surplus_is_kept_until_its_time_is_over_and_work_begins_it_again() -> None:
    limits = ScalingLimits(worth_s=5.0, idle_s=15.0)
    assert target_workers(1, 2, 15.0, Workers(min=1, max=4), limits) == 1
    assert target_workers(1, 2, 14.9, Workers(min=1, max=4), limits) == 2
    scaler = Autoscaler(None, Workers(min=1, max=4), limits, scaling=FakeScaling)  # type: ignore[arg-type]
    scaler.update(2, 10.0)
    assert scaler.target(2, 100.0) == 2
    scaler.update(1, 5.0)
    assert [scaler.target(2, now) for now in (101.0, 115.0)] == [2, 2]
    scaler.update(2, 10.0)
    assert scaler.target(2, 116.0) == 2
    scaler.update(1, 5.0)
    assert [scaler.target(2, now) for now in (117.0, 131.9, 132.0)] == [2, 2, 1]
    scaler.stop()
    assert scaler.scaling.stopped == "the run ends"  # type: ignore[attr-defined]


def test_bounds_of_a_backlog() -> None:
    assert useful_workers(Backlog(9, -1.0), 1) == 0
    assert useful_workers(Backlog(9, None), 0) == 1
    assert useful_workers(Backlog(9, 5.1), 1) == 2
    assert Autoscaler(None, Workers(min=1, max=4), scaling=FakeScaling)._processes_per_worker() == 1  # type: ignore[arg-type]


class FakeScaling:
    def __init__(self, cluster: Any, autoscaler: Autoscaler) -> None:
        self.stopped = ""

    def stop(self, reason: str) -> None:
        self.stopped = reason


class FakeCluster:
    """Workers a, b and c, of which b computes; the machines x and y are idle."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.observed = {"x", "y", "z"}
        self.plan = {"a", "b", "c"}
        self.scheduler_info = {"workers": {f"tcp://{name}": {"name": name} for name in "abc"}}

    async def processing(self, workers: object) -> dict[str, list[str]]:
        return {"tcp://a": [], "tcp://b": ["call"], "tcp://gone": ["call"]}

    async def workers_to_close(self, target: int, **_: Any) -> list[str]:
        return ["a", "b", "c"]

    async def retire_workers(self, **options: Any) -> None:
        self.done.append(options)

    async def scale_down(self, workers: Any) -> None:
        self.done.append(workers)

    async def idle_machines(self) -> list[str]:
        return ["x", "y"]


def scaling_of(kind: type[Scaling], cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Scaling:
    made = kind.__new__(kind)
    made.cluster, made.state = cluster, "stopped"  # type: ignore[assignment]
    monkeypatch.setattr(kind, "scheduler", cluster, raising=False)
    monkeypatch.setattr(Adaptive, "workers_to_close", lambda self, target: cluster.workers_to_close(target))
    return made


def test_only_idle_workers_are_removed_and_they_are_retired_first(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    scaling = scaling_of(Scaling, cluster, monkeypatch)
    assert asyncio.run(scaling.workers_to_close(1)) == ["a", "c"]
    asyncio.run(scaling.scale_down(["a"]))
    assert cluster.done == [{"names": ["a"], "close_workers": False, "remove": False}, ["a"]]


@pytest.mark.parametrize(("target", "removed"), [(0, ["x", "y"]), (1, ["x", "y"]), (2, ["x"]), (3, []), (4, [])])
def test_idle_machines_are_removed_down_to_the_target(
    monkeypatch: pytest.MonkeyPatch, target: int, removed: list[str]
) -> None:
    cluster = FakeCluster()
    scaling = scaling_of(MachineScaling, cluster, monkeypatch)
    assert asyncio.run(scaling.workers_to_close(target)) == removed
    asyncio.run(scaling.scale_down(["x"]))
    assert cluster.done == [["x"]]


@pytest.mark.slow
def test_a_cluster_grows_under_load_and_shrinks_again_and_no_result_is_lost(tmp_path: Path) -> None:
    spec = LocalCluster(workers=Workers(min=1, max=3))
    with Local(spec, tmp_path, ScalingLimits(idle_s=0.5, interval_s=0.1)) as cluster:
        assert cluster.autoscaler is not None
        client = cluster.session.client
        calls = client.map(_slow, range(30), pure=False)
        began = time.monotonic()
        cluster.autoscaler.update(30, None)
        assert time.monotonic() - began < 1  # it does not wait for the workers
        cluster.autoscaler.update(30, 100.0)
        until(lambda: len(client.nthreads()) == 3)
        results = client.map(_slow, range(6), pure=False)
        assert client.gather(calls) == list(range(30))
        client.gather(results)
        decisions = _decisions(cluster)
        cluster.autoscaler.update(0, 0.0)
        until(lambda: len(client.nthreads()) == 1)
        assert client.gather(results) == list(range(6))
        then = len(decisions)
        until(lambda: len(decisions) >= then + 5)
        assert len(client.nthreads()) == 1


@pytest.mark.slow
def test_busy_workers_are_not_removed(tmp_path: Path) -> None:
    spec = LocalCluster(workers=Workers(min=1, max=2))
    with Local(spec, tmp_path, ScalingLimits(idle_s=0.0, interval_s=0.1)) as cluster:
        assert cluster.autoscaler is not None
        client = cluster.session.client
        cluster.autoscaler.update(2, 100.0)
        until(lambda: len(client.nthreads()) == 2)
        marks = tmp_path / "marks"
        marks.mkdir()
        calls = [client.submit(_mark_and_wait, str(marks / str(i)), pure=False) for i in range(2)]
        until(lambda: len(list(marks.iterdir())) == 2)
        decisions = _decisions(cluster)
        cluster.autoscaler.update(0, 0.0)
        until(lambda: len(decisions) >= 5)
        Event("go on", client=client).set()
        client.gather(calls)
        assert [mark.read_text() for mark in marks.iterdir()] == ["x", "x"]


def test_an_error_while_scaling_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Local(LocalCluster(workers=Workers(min=1, max=2)), tmp_path, ScalingLimits(interval_s=0.05)) as cluster:
        assert cluster.autoscaler is not None

        async def broken(n: int) -> None:
            raise OSError("no more processes")

        monkeypatch.setattr(cluster.autoscaler.scaling, "scale_up", broken)
        with caplog.at_level(logging.WARNING, "swath.cluster.workers.autoscaling"):
            cluster.autoscaler.update(100, 100.0)
            until(lambda: "no more processes" in caplog.text)
        assert cluster.session.client.submit(_slow, 1).result(timeout=20) == 1


def _decisions(cluster: Local) -> list[int]:
    """The targets that its autoscaler decides on from now on."""
    autoscaler = cluster.autoscaler
    assert autoscaler is not None
    decide, found = autoscaler.target, list[int]()

    def target(workers: int, now: float) -> int:
        found.append(decide(workers, now))
        return found[-1]

    autoscaler.target = target  # type: ignore[method-assign]
    return found


def _slow(number: int) -> int:
    time.sleep(0.1)
    return number


def _mark_and_wait(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
    Event("go on").wait(20)
