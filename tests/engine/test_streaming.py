"""Items flow: no barrier, nothing held that is not needed, however many there are."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from swath.engine.engine import Engine
from swath.engine.engine_result import EngineResult
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.errors import Interrupted
from swath.events import CallDone, Event
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


@task
def plus_one(x: int) -> int:
    return x + 1


@task
def plus_one_slowly(x: int) -> int:
    time.sleep(0.0005)
    return x + 1


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@task
def slow(x: int) -> int:
    time.sleep(0.06)
    return x


@task
def slow_too(x: int) -> int:
    time.sleep(0.06)
    return x


class Watched:
    """Runs a graph inline, and looks at the engine after every event."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = 0
        self.held = 0
        self.done = 0
        self.stop = Stop()
        self.stop_after: int | None = None

    def execute(self, job: Graph) -> EngineResult:
        with Journal.open(self.folder) as journal:
            start_or_resume(journal, "run")
            self.engine = Engine(
                "run", journal=journal, store=ResultStore(str(self.folder / "results")), emit=self.look, stop=self.stop
            )
            return self.engine.execute(job, InlineExecutor(self.engine.on_output, self.stop))

    def look(self, event: Event) -> None:
        nodes = self.engine._nodes
        self.nodes = max(self.nodes, len(nodes.results.nodes), len(nodes.ready._entries))
        self.held = max(self.held, len(nodes.results) + len(self.engine._items._duplicates))
        self.done += isinstance(event, CallDone)
        if self.stop_after is not None and self.done >= self.stop_after:
            self.stop.requested = Interrupted("interrupted")


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "state")


def test_early_items_are_through_before_the_last_begin(bench: Bench) -> None:
    bench.execute(graph(lambda spec: total(slow_too.map(slow.map(range(spec.n)))), n=48))
    order = [(event.node, event.item) for event in bench.events if isinstance(event, CallDone)]
    assert order.index(("slow_too", 0)) < order.index(("slow", 36))
    assert order.index(("slow_too", 8)) < order.index(("slow", 47))


def test_quick_calls_of_a_deep_node_do_not_wait_for_a_large_batch_of_them(bench: Bench) -> None:
    ahead = 20 if bench.cluster.kind == "inline" else 60  # what is on its way already
    bench.execute(graph(lambda spec: total(plus_one.map(slow.map(range(spec.n)))), n=ahead + 30))
    order = [(event.node, event.item) for event in bench.events if isinstance(event, CallDone)]
    for item in range(25):
        assert order.index(("plus_one", item)) < order.index(("slow", item + ahead)), item


def test_an_item_goes_on_while_another_of_its_node_still_takes_long(bench: Bench) -> None:
    if bench.cluster.kind == "inline":
        pytest.skip("one call at a time")

    @task
    def uneven(x: int) -> int:
        time.sleep(2.0 if x == 0 else 0.01)
        return x

    bench.execute(graph(lambda spec: total(plus_one.map(uneven.map(range(spec.n)))), n=12))
    order = [(event.node, event.item) for event in bench.events if isinstance(event, CallDone)]
    assert sum(order.index(("plus_one", item)) < order.index(("uneven", 0)) for item in range(1, 12)) >= 10


@pytest.mark.slow
def test_three_thousand_graphs_of_a_mapped_pipeline_are_never_held_together(watched: Watched) -> None:
    @pipeline
    def inner(spec: Params) -> Any:
        return total(plus_one_slowly.map([spec.n, spec.n + 1]))

    result = watched.execute(graph(lambda spec: total(inner.map([Params(n=3 * i) for i in range(spec.n)])), n=3000))
    assert result.value is not None
    assert ResultStore(str(watched.folder / "results")).get(result.value) == sum(6 * i + 3 for i in range(3000))
    assert watched.nodes < 1000  # of as many steps as a batch holds calls of, with two nodes each and one for its place
    assert watched.held < 1000
    engine = watched.engine
    for left in (
        engine._nodes._steps,
        engine._nodes._steps._by_result,
        engine._items._duplicates,
        engine._nodes._closed,
    ):
        assert len(left) <= 4


def test_maps_on_maps_hold_no_results(watched: Watched) -> None:
    job = graph(lambda spec: total(plus_one.map(plus_one.map(plus_one.map(range(spec.n))))), n=5000)
    result = watched.execute(job)
    assert ResultStore(str(watched.folder / "results")).get(result.value) == sum(range(3, 5003))  # type: ignore[arg-type]
    assert watched.held < 3 * 4100  # a batch of each, not the whole


class Million(Sequence[int]):
    """Knows how far it was looked at."""

    def __init__(self) -> None:
        self.furthest = 0

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, item: Any) -> Any:
        self.furthest = max(self.furthest, item)
        return item

    def __dask_tokenize__(self) -> str:
        return "a million"


def test_a_sequence_of_a_million_is_walked_only_as_far_as_calls_are_made(watched: Watched) -> None:
    million = Million()
    watched.stop_after = 2000
    with pytest.raises(Interrupted):
        watched.execute(graph(lambda spec: total(plus_one.map(million))))
    assert 2000 <= million.furthest < 20_000


def test_an_endless_walk_is_walked_only_as_far_as_calls_are_made(watched: Watched) -> None:
    seen: list[int] = []

    def endless() -> Iterator[int]:
        for number in itertools.count():
            seen.append(number)
            yield number

    watched.stop_after = 2000
    with pytest.raises(Interrupted):
        watched.execute(graph(lambda spec: total(plus_one.map(endless()))))
    assert 2000 <= len(seen) < 20_000


PEAKS: list[int] = []
"""Bytes; a list, so that it is no part of a task's fingerprint."""


@pytest.mark.slow
def test_a_reduce_over_20_000_items_loads_them_lazily_in_order_without_those_set_aside(watched: Watched) -> None:
    @task
    def page(x: int) -> bytes:
        if x % 1000 == 999:
            raise ValueError("set aside")
        return x.to_bytes(4, "big") * 2000  # 8 kB: 160 MB together

    @task
    def check(pages: Sequence[bytes]) -> list[int]:
        assert not isinstance(pages, list)
        tracemalloc.start()
        try:
            numbers = [int.from_bytes(page[:4], "big") for page in pages]
            PEAKS.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert len(pages) == len(numbers)
        return numbers

    result = watched.execute(graph(lambda spec: check(page.map(range(spec.n))), n=20_000))
    assert len(result.set_aside) == 20
    assert result.value is not None
    numbers = ResultStore(str(watched.folder / "results")).get(result.value)
    assert numbers == [x for x in range(20_000) if x % 1000 != 999]
    assert PEAKS[-1] < 90_000_000  # what a process keeps of what it read is bounded
