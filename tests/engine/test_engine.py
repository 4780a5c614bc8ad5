"""What a graph means when it runs: the same on every executor."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from swath.engine.stop import Stop
from swath.errors import Interrupted, PipelineError, TaskFailed
from swath.events import CallDone, CallFailed, CallProgress, CallRetried, Event, Log
from swath.graph.call_context import current_run, left_out, progress
from swath.graph.either import either
from swath.graph.graph import Graph
from swath.graph.pipeline import pipeline
from swath.graph.task import task
from swath.spec.base import Spec
from tests.engine.conftest import Bench

STOPS: list[Stop] = []
"""Of the run that a task of these tests stops; a list, so that it is no part of the task's fingerprint."""


class Params(Spec):
    n: int = 4
    folder: str = ""


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task
def double(x: int, *, plus: int = 0) -> int:
    return 2 * x + plus


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@task
def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"{x} is odd")
    return x


@task
def is_large(x: int) -> bool:
    return x > 10


@task
def mark(x: int, *, folder: str) -> int:
    """Leaves one file per call that was really made."""
    (Path(folder) / f"{x}-{time.time_ns()}").touch()
    return x


def graph(function: Callable[[Params], Any], **params: Any) -> Graph:
    function.__annotations__["spec"] = Params
    return pipeline(function).build(Params(**params))


def test_a_map_over_a_list_known_only_at_run_time_gives_results_in_order(bench: Bench) -> None:
    assert bench.value(graph(lambda spec: [double.map(numbers(spec.n), plus=1)], n=20)) == [
        [2 * i + 1 for i in range(20)]
    ]


def test_maps_on_maps_and_a_reduce(bench: Bench) -> None:
    assert bench.value(graph(lambda spec: total(double.map(double.map(numbers(spec.n)))), n=10)) == 4 * 45


def test_maps_walk_several_sequences_together_lazily(bench: Bench) -> None:
    @task
    def add(a: int, b: int) -> int:
        return a + b

    def endless() -> Iterator[int]:
        yield from range(5)

    assert bench.value(graph(lambda spec: total(add.map(range(5), double.map(range(5)))))) == 30
    assert bench.value(graph(lambda spec: total(double.map(endless())))) == 20


def test_a_lazy_sequence_is_never_walked_far_ahead(inline: Bench) -> None:
    seen: list[int] = []

    class Watched(Sequence[int]):
        def __len__(self) -> int:
            return 60

        def __getitem__(self, item: Any) -> Any:
            seen.append(item)
            return item

    ahead: list[int] = []

    @task(cache=False)
    def look(x: int) -> int:
        ahead.append(max(seen) - x)
        time.sleep(0.02)
        return x

    inline.value(graph(lambda spec: total(look.map(Watched()))))
    assert max(ahead) <= 8


def test_lists_of_different_lengths_are_refused(inline: Bench) -> None:
    @task
    def add(a: int, b: int) -> int:
        return a + b

    with pytest.raises(PipelineError, match="different lengths"):
        inline.execute(graph(lambda spec: add.map([1, 2], [1])))


@pytest.mark.parametrize(("n", "expected"), [(3, "small"), (10, "large")])
def test_when_takes_one_branch_and_either_goes_on(bench: Bench, n: int, expected: str) -> None:
    @task
    def say(word: str) -> str:
        return word

    @task
    def invert(x: bool) -> bool:
        return not x

    def branches(spec: Params) -> Any:
        large = is_large(total(numbers(spec.n)))
        one = say("large", when=large)
        other = say("small", when=invert(large))
        return either(one, other)

    assert bench.value(graph(branches, n=n)) == expected
    assert bench.count("node_done") == 7


def test_what_needs_a_skipped_node_is_skipped(bench: Bench) -> None:
    result = bench.execute(graph(lambda spec: total(double.map(numbers(3, when=False)))))
    assert (result.value, result.executed, result.set_aside) == (None, 0, [])


def test_a_pipeline_is_a_step_and_can_be_mapped_and_nested(bench: Bench) -> None:
    @pipeline
    def inner(spec: Params) -> Any:
        return total(double.map(numbers(spec.n)))

    @pipeline
    def middle(spec: Params) -> Any:
        return {"one": inner(Params(n=spec.n)), "many": inner.map([Params(n=1), Params(n=2)])}

    @task
    def specs(n: int) -> list[dict[str, int]]:
        return [{"n": i} for i in range(n)]

    assert bench.value(graph(lambda spec: total(inner.map(specs(4))))) == 0 + 0 + 2 + 6
    assert bench.value(graph(lambda spec: middle.map(specs(3))))[-1] == {"one": 2, "many": [0, 2]}


def test_a_step_whose_spec_is_wrong_is_set_aside(inline: Bench) -> None:
    @pipeline
    def inner(spec: Params) -> Any:
        return numbers(spec.n)

    result = inline.execute(graph(lambda spec: inner.map([{"n": 1}, {"m": 2}])))
    assert len(result.set_aside) == 1
    assert "inner[1]" in result.set_aside[0]


def test_one_failed_item_does_not_lose_the_others(bench: Bench) -> None:
    result = bench.execute(graph(lambda spec: total(double.map(odd_fails.map(numbers(spec.n)))), n=6))
    assert sorted(result.set_aside) == [f"odd_fails[{i}]: ValueError: {i} is odd" for i in (1, 3, 5)]
    failed = [event for event in bench.events if isinstance(event, CallFailed)]
    assert all("is odd" in event.traceback for event in failed)
    assert bench.value(graph(lambda spec: total(double.map(odd_fails.map(numbers(spec.n)))), n=6)) == 2 * (0 + 2 + 4)


def test_on_error_stop_ends_the_run_and_keeps_what_was_finished(inline: Bench) -> None:
    with pytest.raises(TaskFailed, match=r"odd_fails\[1\]: ValueError: 1 is odd"):
        inline.execute(graph(lambda spec: total(odd_fails.map(numbers(spec.n)))), on_error="stop")
    inline.execute(graph(lambda spec: total(odd_fails.map(numbers(spec.n)))))
    assert sum(isinstance(e, CallDone) and e.reused for e in inline.events) >= 2


def test_a_node_whose_first_calls_all_fail_stops_the_run(inline: Bench) -> None:
    @task
    def never(x: int) -> None:
        raise ValueError("no")

    with pytest.raises(TaskFailed, match="the first 10 calls of never all failed"):
        inline.execute(graph(lambda spec: never.map(range(1000))))


def test_a_failed_call_is_retried_with_its_policy_and_then_named(bench: Bench, tmp_path: Path) -> None:
    @task(retries=3, retry_delay_s=0.01)
    def third_time(folder: str) -> int:
        tries = len(list(Path(folder).iterdir()))
        (Path(folder) / str(tries)).touch()
        if tries < 2:
            raise OSError("not yet")
        return tries

    folder = tmp_path / "tries"
    folder.mkdir()
    assert bench.value(graph(lambda spec: third_time(spec.folder), folder=str(folder))) == 2
    assert bench.count("call_retried") == 2


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_call_that_always_fails_is_executed_once_and_as_often_again_as_its_policy_says(
    inline: Bench, tmp_path: Path, retries: int
) -> None:
    @task(retries=retries, retry_delay_s=0.02)
    def never(folder: str) -> None:
        (Path(folder) / str(time.time_ns())).touch()
        raise OSError("no")

    assert inline.execute(graph(lambda spec: never(spec.folder), folder=str(tmp_path))).value is None
    assert len(list(tmp_path.glob("[0-9]*"))) == 1 + retries
    retried = [event for event in inline.events if isinstance(event, CallRetried)]
    assert [event.attempt for event in retried] == list(range(1, retries + 1))
    for number, event in enumerate(retried):
        assert 0.75 <= event.delay_s / (0.02 * 2**number) <= 1.25, "waits double, give or take a quarter"


def test_an_error_that_says_it_cannot_succeed_is_not_retried(inline: Bench) -> None:
    @task(retries=5)
    def wrong() -> None:
        raise PipelineError("never")

    assert inline.execute(graph(lambda spec: wrong())).exit_code == PipelineError.exit_code
    assert inline.count("call_retried") == 0


def test_a_finished_call_is_not_made_again_and_an_argument_changes_that(bench: Bench, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()

    def job(spec: Params) -> Any:
        return total(mark.map(numbers(spec.n), folder=spec.folder))

    assert bench.value(graph(job, n=5, folder=str(made))) == 10
    assert bench.value(graph(job, n=5, folder=str(made))) == 10
    assert bench.execute(graph(job, n=7, folder=str(made))).executed == 1 + 2 + 1
    assert sorted(f.name.partition("-")[0] for f in made.iterdir()) == [str(i) for i in range(7)]


def test_fresh_makes_every_call_again(inline: Bench) -> None:
    job = graph(lambda spec: total(double.map(numbers(spec.n))))
    assert inline.execute(job).executed == 6
    assert inline.execute(job, fresh=True).executed == 6


def test_a_task_that_looks_outside_runs_every_time_and_what_needs_it_only_when_it_changed(
    inline: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "world"

    @task(cache=False)
    def look(path: str) -> str:
        return Path(path).read_text()

    @task
    def use(text: str) -> str:
        return text.upper()

    def job(spec: Params) -> Any:
        return use(look(spec.folder))

    made = []
    for text in ("a", "a", "b", "a"):
        file.write_text(text)
        made.append(inline.execute(graph(job, folder=str(file))).executed)
    assert made == [2, 1, 2, 1]


def test_a_result_that_is_not_valid_any_more_is_made_again(inline: Bench, tmp_path: Path) -> None:
    @task(valid=lambda path: Path(path).exists())
    def write(path: str) -> str:
        Path(path).touch()
        return path

    job = graph(lambda spec: write(spec.folder), folder=str(tmp_path / "out"))
    assert [inline.execute(job).executed for _ in range(2)] == [1, 0]
    (tmp_path / "out").unlink()
    assert inline.execute(job).executed == 1


def test_large_results_are_kept_out_of_the_journal_and_made_again_when_lost(bench: Bench) -> None:
    @task
    def large(n: int) -> bytes:
        return bytes(n)

    job = graph(lambda spec: large(100_000))
    assert len(bench.value(job)) == 100_000
    files = [f for f in (bench.home / "results").rglob("*") if f.is_file()]
    assert len(files) == 1
    assert bench.execute(job).executed == 0
    files[0].unlink()
    assert bench.execute(job).executed == 1


def test_what_a_call_prints_logs_warns_and_reports_becomes_events(bench: Bench) -> None:
    @task(cache=False)
    def talk() -> str:
        print("printed")
        logging.getLogger("somebody").info("logged %d", 1)
        warnings.warn("warned", UserWarning, stacklevel=1)
        progress(1, 2, pixels=10)
        progress(2, 2, pixels=5)
        return current_run()

    assert bench.value(graph(lambda spec: talk())) == bench.run
    lines = [(e.level, e.text) for e in bench.events if isinstance(e, Log)]
    assert lines == [("info", "printed"), ("info", "logged 1"), ("warning", "UserWarning: warned")]
    assert sum(e.pixels for e in bench.events if isinstance(e, CallProgress)) == 15


def test_a_call_past_its_time_limit_is_ended_even_in_a_blocking_call(bench: Bench) -> None:
    @task(timeout_s=1)
    def sleepy(x: int) -> int:
        if x:
            time.sleep(30)
        return x

    started = time.monotonic()
    result = bench.execute(graph(lambda spec: sleepy.map([0, 1])))
    assert time.monotonic() - started < 25
    assert [line.partition(":")[0] for line in result.set_aside] == ["sleepy[1]"]
    assert "time limit of 1 s" in result.set_aside[0]


def test_a_stop_is_heard_and_what_was_finished_is_kept(inline: Bench) -> None:
    @task
    def step(x: int) -> int:
        if x == 3:
            STOPS[-1].requested = Interrupted("interrupted")
        return x

    STOPS.append(Stop())
    with pytest.raises(Interrupted):
        inline.execute(graph(lambda spec: total(step.map(range(10)))), stop=STOPS[0])
    assert inline.count("run_stopping") == 1
    assert inline.execute(graph(lambda spec: total(step.map(range(10))))).reused >= 4


def test_events_of_a_run_can_be_written_as_json_lines(inline: Bench) -> None:
    inline.execute(graph(lambda spec: total(double.map(odd_fails.map(numbers(3))))))
    assert {type(event) for event in inline.events} >= {CallDone, CallFailed}
    for event in inline.events:
        assert isinstance(event, Event)
        assert f'"event": "{event.kind}"' in event.to_json()


@task
def partly(x: int) -> int:
    left_out(f"item {x} is broken")
    return x


def test_what_a_call_leaves_out_is_counted_and_ends_a_run_that_stops_on_errors(bench: Bench) -> None:
    result = bench.execute(graph(lambda spec: partly(3)))
    assert (result.left_out, result.set_aside, result.failed) == (["partly: item 3 is broken"], [], 0)
    assert result.value is not None
    assert [e.text for e in bench.events if isinstance(e, Log)] == ["set aside: item 3 is broken"]
    with pytest.raises(TaskFailed, match="partly: item 3 is broken"):
        bench.execute(graph(lambda spec: partly(3)), on_error="stop", fresh=True)
