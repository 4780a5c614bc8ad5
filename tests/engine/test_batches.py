"""Calls that travel together: each is made once and answered for, whatever happens to the others of its batch."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from swath.engine.call import BatchResult, CallBatch
from swath.engine.engine import Engine
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import InfrastructureError
from swath.events import CallDone, CallFailed, NodeDone, NodeOpened
from swath.graph.graph import Graph
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from tests.engine.conftest import Bench, start_or_resume


class Params(Spec):
    n: int = 4
    folder: str = ""


def graph(function: Callable[[Params], Any], **params: Any) -> Graph:
    function.__annotations__["spec"] = Params
    return pipeline(function).build(Params(**params))


def note(folder: str, text: object) -> None:
    """Write a line down, from whatever process."""
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{text}\n")


def notes(folder: Path) -> list[str]:
    file = folder / "notes"
    return file.read_text().splitlines() if file.exists() else []


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@task
def quick(x: int, *, folder: str) -> int:
    note(folder, x)
    return x


def most_at_once(folder: Path) -> int:
    """Of lines `+ ...` and `- ...`: how many were open together."""
    now = most = 0
    for line in notes(folder):
        now += 1 if line.startswith("+") else -1
        most = max(most, now)
    return most


def test_thousands_of_quick_calls_are_each_made_once_in_a_few_batches(bench: Bench, tmp_path: Path) -> None:
    assert bench.value(
        graph(lambda spec: total(quick.map(range(spec.n), folder=spec.folder)), n=3000, folder=str(tmp_path))
    ) == sum(range(3000))
    assert sorted(map(int, notes(tmp_path))) == list(range(3000))
    assert bench.count("call_done") == 3001


def test_never_more_calls_run_at_once_than_the_limit_over_all_nodes_of_a_task(bench: Bench, tmp_path: Path) -> None:
    @task(limit=1)
    def one(x: int, *, folder: str) -> int:
        note(folder, f"+ {x}")
        time.sleep(0.02 if x % 7 == 0 else 0.0)
        note(folder, f"- {x}")
        return x

    def job(spec: Params) -> Any:
        first = one.map(range(spec.n), folder=spec.folder)
        return total([total(first), total(one.map(range(100, 100 + spec.n), folder=spec.folder))])

    n = 60
    assert bench.value(graph(job, n=n, folder=str(tmp_path))) == sum(range(n)) + sum(range(100, 100 + n))
    assert most_at_once(tmp_path) == 1
    assert len(notes(tmp_path)) == 4 * n


class Narrow:
    """An inline executor that takes many batches at once and gives most of each back, as one does whose time is used up."""

    slots = 4
    window = 8
    batch_s = 10.0

    def __init__(self, inner: InlineExecutor) -> None:
        self._inner = inner
        self._batches: list[CallBatch] = []
        self.most = 0

    def submit(self, batch: CallBatch) -> None:
        self._batches.append(batch)
        self.most = max(self.most, len(self._batches))

    def wait(self, timeout_s: float) -> list[BatchResult]:
        if not self._batches:
            return []
        batch = self._batches.pop(0)
        self._inner.submit(batch._replace(calls=batch.calls[:3]))
        return self._inner.wait(0.0)

    def backlog(self, calls: int, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        self._inner.close()


def through(tmp_path: Path, job: Graph, make: Callable[[InlineExecutor], Any]) -> tuple[Any, Any]:
    """The value of a graph through an executor of one's own, and that executor."""
    stop = Stop()
    store = ResultStore(str(tmp_path / "state" / "results"))
    with Journal.open(tmp_path / "state") as journal:
        start_or_resume(journal, "run")
        engine = Engine("run", journal=journal, store=store, emit=lambda event: None, stop=stop)
        executor = make(InlineExecutor(engine.on_output, stop))
        result = engine.execute(job, executor)
    assert result.value is not None
    return store.get(result.value), executor


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_calls_that_were_given_back_are_made_once_and_within_the_limit(tmp_path: Path, limit: int | None) -> None:
    mine = quick.options(limit=limit)
    job = graph(lambda spec: total(mine.map(range(spec.n), folder=spec.folder)), n=500, folder=str(tmp_path))
    value, executor = through(tmp_path, job, Narrow)
    assert value == sum(range(500))
    assert sorted(map(int, notes(tmp_path))) == list(range(500))
    if limit is not None:
        assert executor.most == limit
    else:  # how full the window gets hangs on how long calls seem to take
        assert executor.window // 2 < executor.most <= executor.window


def test_equal_calls_in_flight_are_made_once(bench: Bench, tmp_path: Path) -> None:
    @task
    def slow(x: int, *, folder: str) -> int:
        note(folder, x)
        time.sleep(0.05)
        return x

    def job(spec: Params) -> Any:
        several = [total(slow.map([1, 2, 1, 2, 1] * 3, folder=spec.folder)) for _ in range(2)]
        return total(several)

    assert bench.value(graph(job, folder=str(tmp_path))) == 2 * 3 * 7
    assert Counter(notes(tmp_path)) == {"1": 1, "2": 1}
    done = [event for event in bench.events if isinstance(event, CallDone) and event.node.startswith("slow")]
    assert sorted(event.reused for event in done) == [False] * 2 + [True] * 28


def test_equal_calls_that_fail_are_all_set_aside(bench: Bench, tmp_path: Path) -> None:
    @task
    def wrong(x: int, *, folder: str) -> int:
        note(folder, x)
        if x == 1:
            raise ValueError("one is wrong")
        return x

    result = bench.execute(
        graph(lambda spec: total(wrong.map([1, 2, 1, 3, 1], folder=spec.folder)), folder=str(tmp_path))
    )
    assert sorted(place.partition(":")[0] for place in result.set_aside) == ["wrong[0]", "wrong[2]", "wrong[4]"]
    assert result.value is not None


def test_a_call_of_a_batch_that_fails_is_made_again_alone(bench: Bench, tmp_path: Path) -> None:
    @task(retries=1, retry_delay_s=0.01)
    def flaky(x: int, *, folder: str) -> int:
        note(folder, x)
        if x % 50 == 7:
            try:
                (Path(folder) / f"tried-{x}").open("x").close()
            except FileExistsError:
                return x
            raise OSError("once")
        return x

    assert bench.value(
        graph(lambda spec: total(flaky.map(range(spec.n), folder=spec.folder)), n=300, folder=str(tmp_path))
    ) == sum(range(300))
    counts = Counter(map(int, notes(tmp_path)))
    assert {x for x, count in counts.items() if count == 2} == set(range(7, 300, 50))
    assert set(counts.values()) == {1, 2}


@pytest.mark.slow
def test_of_500_quick_calls_one_that_hangs_is_set_aside_and_no_other_is_lost(bench: Bench, tmp_path: Path) -> None:
    @task(timeout_s=1.0)
    def maybe(x: int, *, folder: str) -> int:
        note(folder, x)
        if x == 321:
            time.sleep(60)
        return x

    began = time.monotonic()
    result = bench.execute(
        graph(lambda spec: total(maybe.map(range(spec.n), folder=spec.folder)), n=500, folder=str(tmp_path))
    )
    assert time.monotonic() - began < 40
    assert [place.partition(":")[0] for place in result.set_aside] == ["maybe[321]"]
    assert "time limit of 1 s" in result.set_aside[0]
    assert result.value is not None
    assert ResultStore(str(bench.home / "results")).get(result.value) == sum(range(500)) - 321
    failed = [event for event in bench.events if isinstance(event, CallFailed)]
    assert [(event.node, event.item) for event in failed] == [("maybe", 321)]


def test_calls_of_quick_batches_that_turn_slow_are_journalled_as_they_end(tmp_path: Path) -> None:
    """Also where each has a time limit: what a kill costs is the calls in flight, not a batch of minutes."""

    @task(timeout_s=30)
    def turning(x: int) -> int:
        time.sleep(0.0 if x < 300 else 0.06)
        return x

    longest: list[int] = []

    class Watching(InlineExecutor):
        def wait(self, timeout_s: float) -> list[BatchResult]:
            answers = super().wait(timeout_s)
            longest.extend(
                len(answer.outcomes) for answer in answers if answer.outcomes and answer.outcomes[-1].seconds > 0.05
            )
            return answers

    job = graph(lambda spec: total(turning.map(range(spec.n))), n=330)
    value, _ = through(tmp_path, job, lambda inner: Watching(inner._on_output, inner._stop))
    assert value == sum(range(330))
    assert max(longest[1:], default=0) <= 3


def test_a_time_limit_cuts_no_import_off_in_the_middle(
    inline: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.3)\nWHOLE = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    @task(timeout_s=0.1)
    def late(x: int) -> int:
        importlib.import_module("slow_to_import")
        time.sleep(20)
        return x

    result = inline.execute(graph(lambda spec: late.map([1])))
    assert "time limit of 0.1 s" in result.set_aside[0]
    assert sys.modules.pop("slow_to_import").WHOLE


def test_what_no_worker_offers_fails_at_once_and_says_so(tmp_path: Path) -> None:
    from swath.cluster.open import open_cluster
    from swath.spec.clusters.cluster import LocalCluster

    @task(resources={"gpu": 1})
    def on_gpu(x: int) -> int:
        return x

    with open_cluster(LocalCluster(workers=1), tmp_path / "scratch") as running:
        began = time.monotonic()
        with pytest.raises(InfrastructureError, match="gpu"):
            Bench(tmp_path / "state", running).execute(graph(lambda spec: on_gpu.map(range(3))))
        assert time.monotonic() - began < 20


def test_calls_of_the_same_task_that_ask_for_different_things_do_not_travel_together(bench: Bench) -> None:
    @task
    def where(x: int) -> int:
        return os.getpid()

    def job(spec: Params) -> Any:
        here = where.options(on_client=True).map(range(20))
        return [here, where.options(timeout_s=20).map(range(20, 40))]

    here, there = bench.value(graph(job))
    assert len(here) == len(there) == 20


def walk() -> Iterator[int]:
    yield from range(50)


def test_a_walk_of_unknown_length_in_batches_ends_where_it_ends(bench: Bench, tmp_path: Path) -> None:
    assert bench.value(graph(lambda spec: total(quick.map(walk(), folder=spec.folder)), folder=str(tmp_path))) == sum(
        range(50)
    )
    assert sorted(map(int, notes(tmp_path))) == list(range(50))


@pytest.mark.slow
def test_steps_are_not_begun_far_ahead_of_calls_that_wait_for_their_turn(bench: Bench) -> None:
    @task(limit=1)
    def one(x: int) -> int:
        return x

    @pipeline
    def step(spec: Params) -> Any:
        return one(spec.n)

    result = bench.execute(graph(lambda spec: step.map([Params(n=x) for x in range(400)])))
    assert result.executed == 401  # with that of the list itself
    opened = most = 0
    for event in bench.events:
        opened += isinstance(event, NodeOpened) - isinstance(event, NodeDone)
        most = max(most, opened)
    assert most < 200
