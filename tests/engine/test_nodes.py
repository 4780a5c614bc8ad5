"""When no call is left for the cluster."""

from __future__ import annotations

from typing import Any

from swath.graph.pipeline import pipeline
from swath.graph.task import task
from tests.engine.conftest import Bench
from tests.engine.test_engine import Params, double, graph, numbers, odd_fails


def test_it_is_said_once_when_only_calls_on_the_client_are_left(inline: Bench) -> None:
    seen: list[str] = []

    @task(on_client=True, cache=False)
    def begin(n: int) -> int:
        seen.append("begin")
        return n

    @task(on_client=True)
    def end(values: Any) -> int:
        seen.append("end")
        return sum(values)

    @task
    def inner_call(x: int) -> int:
        seen.append("inner")
        return x

    @pipeline
    def inner(spec: Params) -> Any:
        return inner_call(spec.n)

    def chain(spec: Params) -> Any:
        begun = begin(spec.n)
        within = inner({"n": 1}, when=begun)
        return end(double.map(numbers(begun)), when=within)

    assert inline.value(graph(chain, n=4), on_client_only=lambda: seen.append("client only")) == 12
    assert seen == ["begin", "inner", "client only", "end"], "a step may have calls for the cluster until it has ended"


def test_calls_that_fail_or_are_skipped_are_not_waited_for(inline: Bench) -> None:
    seen: list[int] = []

    @task(on_client=True)
    def count(values: Any) -> int:
        return len(values)

    def chain(spec: Params) -> Any:
        skipped = double.map(numbers(spec.n), when=spec.n > 100)
        aside = odd_fails.map(numbers(spec.n))
        double.map(skipped)
        return count(aside)

    assert inline.value(graph(chain, n=4), on_client_only=lambda: seen.append(1)) == 2
    assert seen == [1]
