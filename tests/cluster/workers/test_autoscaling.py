from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.cluster.contract import cluster_of
from swath.cluster.local.local import Local
from swath.cluster.workers import autoscaling
from swath.cluster.workers.autoscaling import QUIET_S, WORTH_S, Backlog, useful, wanted
from swath.spec.clusters.cluster import LocalCluster
from swath.spec.clusters.workers import Workers

backlogs = st.builds(Backlog, st.integers(0, 10**7), st.none() | st.floats(0, 1e9))
limits = st.tuples(st.integers(1, 64), st.integers(1, 64)).map(lambda pair: Workers(min=min(pair), max=max(pair)))
several = st.integers(0, 100)
quiet = st.floats(0, 100)


@given(backlogs, several, quiet, limits)
def test_the_number_is_always_within_its_limits(
    backlog: Backlog, workers: int, quiet_s: float, limits: Workers
) -> None:
    assert limits.min <= wanted(backlog, workers, quiet_s, limits) <= limits.max


@given(backlogs, quiet, limits, st.data())
def test_workers_go_only_after_a_quiet_time_and_come_at_once(
    backlog: Backlog, quiet_s: float, limits: Workers, data: st.DataObject
) -> None:
    workers = data.draw(st.integers(limits.min, limits.max))
    number = wanted(backlog, workers, quiet_s, limits)
    if number < workers:
        assert quiet_s >= QUIET_S
    if useful(backlog, workers) > workers:
        assert number == min(limits.max, useful(backlog, workers))


@given(backlogs, several, quiet, limits, st.integers(0, 10**6), st.floats(0, 1e6))
def test_more_work_never_wants_fewer_workers(
    backlog: Backlog, workers: int, quiet_s: float, limits: Workers, calls: int, seconds: float
) -> None:
    more = Backlog(backlog.calls + calls, None if backlog.seconds is None else backlog.seconds + seconds)
    assert wanted(more, workers, quiet_s, limits) >= wanted(backlog, workers, quiet_s, limits)


def test_a_worker_is_wanted_for_some_seconds_of_work_and_never_more_than_there_are_calls() -> None:
    assert useful(Backlog(1000, 4 * WORTH_S), 1) == 4
    assert useful(Backlog(3, 1000 * WORTH_S), 1) == 3
    assert useful(Backlog(1000, None), 4) == 8
    assert useful(Backlog(0, 0.0), 4) == 0


@pytest.mark.slow
def test_a_cluster_grows_under_load_and_shrinks_again_and_no_result_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autoscaling, "QUIET_S", 0.5)
    monkeypatch.setattr(autoscaling, "EVERY_S", 0.1)
    with cluster_of(LocalCluster(workers=Workers(min=1, max=3)), tmp_path) as cluster:
        assert isinstance(cluster, Local)
        client = cluster._client
        calls = client.map(_slow, range(30), pure=False)
        began = time.monotonic()
        cluster.tell_backlog(30, None)
        assert time.monotonic() - began < 1  # it does not wait for the workers
        cluster.tell_backlog(30, 100.0)
        _until(lambda: len(client.nthreads()) == 3)
        kept = client.map(_slow, range(6), pure=False)
        assert client.gather(calls) == list(range(30))
        client.gather(kept)
        cluster.tell_backlog(0, 0.0)
        _until(lambda: len(client.nthreads()) == 1)
        assert client.gather(kept) == list(range(6))
        time.sleep(0.5)
        assert len(client.nthreads()) == 1


@pytest.mark.slow
def test_workers_that_are_busy_are_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaling, "QUIET_S", 0.0)
    monkeypatch.setattr(autoscaling, "EVERY_S", 0.1)
    with cluster_of(LocalCluster(workers=Workers(min=1, max=2)), tmp_path) as cluster:
        assert isinstance(cluster, Local)
        cluster.tell_backlog(2, 100.0)
        _until(lambda: len(cluster._client.nthreads()) == 2)
        marks = tmp_path / "marks"
        marks.mkdir()
        calls = [cluster._client.submit(_mark, str(marks / str(i)), pure=False) for i in range(2)]
        _until(lambda: len(list(marks.iterdir())) == 2)
        cluster.tell_backlog(0, 0.0)
        cluster._client.gather(calls)
        assert [mark.read_text() for mark in marks.iterdir()] == ["x", "x"]


def test_an_error_while_scaling_is_a_log_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(autoscaling, "EVERY_S", 0.05)
    with cluster_of(LocalCluster(workers=Workers(min=1, max=2)), tmp_path) as cluster:
        assert isinstance(cluster, Local)
        assert cluster._elastic is not None

        async def broken(n: int) -> None:
            raise OSError("no more processes")

        monkeypatch.setattr(cluster._elastic._scaling, "scale_up", broken)
        with caplog.at_level(logging.WARNING, "swath.cluster.workers.autoscaling"):
            cluster.tell_backlog(100, 100.0)
            _until(lambda: "no more processes" in caplog.text)
        assert cluster._client.submit(_slow, 1).result(timeout=20) == 1


def _slow(number: int) -> int:
    time.sleep(0.1)
    return number


def _mark(path: str) -> None:
    with Path(path).open("a") as file:
        file.write("x")
    time.sleep(1.5)


def _until(true: object, seconds: float = 20) -> None:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
