"""What `pipe run --explain` says: the truth about the run that would follow, at no cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath.engine.explain import NodeExplanation, explain
from swath.engine.journal import Journal
from swath.engine.store import ResultStore
from swath.graph.graph import Graph
from swath.graph.pipeline import pipeline
from swath.graph.task import Task, task
from swath.spec.base import Spec
from tests.engine.conftest import Bench


class Ask(Spec):
    n: int = 3
    plus: int = 0
    skip: bool = False


@task(cache=False, on_client=True)
def look(n: int) -> list[int]:
    return list(range(n))


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@task
def small(value: int) -> bool:
    return value < 0


@task
def more(value: int) -> int:
    return value + 1


def made(x: int, *, plus: int = 0) -> int:
    return x + plus


def made_otherwise(x: int, *, plus: int = 0) -> int:
    return x + plus + 0 * x


made_otherwise.__qualname__ = made_otherwise.__name__ = "made"


def graph(change: Task | None = None, **values: Any) -> Graph:
    step = change or task(made)

    def story(spec: Ask) -> Any:
        value = total(step.map(look(spec.n), plus=spec.plus))
        return more(value, when=small(value)) if spec.skip else more(value)

    return pipeline(story).build(Ask(**values))


def asked(bench: Bench, graph: Graph, *, fresh: bool = False) -> dict[str, NodeExplanation]:
    with Journal.open(bench.home) as journal:
        before = journal.counts(bench.run)
        found = explain(
            graph,
            journal=journal,
            store=ResultStore(str(bench.home / "results")),
            earlier=bench.run or None,
            fresh=fresh,
        )
        assert journal.counts(bench.run) == before
    return {reason.node: reason for reason in found}


def states(reasons: dict[str, NodeExplanation]) -> dict[str, str]:
    return {name: reason.state for name, reason in reasons.items()}


def test_without_an_earlier_run_what_is_known_runs_and_the_rest_waits(inline: Bench) -> None:
    reasons = asked(inline, graph())
    assert states(reasons) == {"look": "always", "made": "runs", "total": "waits", "more": "waits"}
    assert (reasons["made"].runs, reasons["made"].why) == (3, "there is no earlier run like this one")
    assert reasons["total"].why == "it needs results of made"


def test_after_a_run_all_is_finished_and_explaining_makes_nothing(inline: Bench) -> None:
    inline.value(graph())
    reasons = asked(inline, graph())
    assert states(reasons) == {"look": "always", "made": "finished", "total": "finished", "more": "finished"}
    assert reasons["made"].finished == 3


def test_changed_code_runs_that_task_and_what_takes_its_results_is_not_known_yet(inline: Bench) -> None:
    inline.value(graph())
    reasons = asked(inline, graph(task(made_otherwise)))
    assert states(reasons) == {"look": "always", "made": "runs", "total": "waits", "more": "waits"}
    assert reasons["made"].why == "its code changed"
    # The results turned out the same, so what takes them is not made again.
    inline.value(graph(task(made_otherwise)))
    assert [e.node for e in inline.events if e.kind == "call_done" and not getattr(e, "reused", True)] == [
        "look"
    ] + 3 * ["made"]


def test_a_changed_version_changed_arguments_and_new_items_are_told_apart(inline: Bench) -> None:
    inline.value(graph())
    assert asked(inline, graph(task(made).options(version="2")))["made"].why == "its version changed from '' to '2'"
    assert asked(inline, graph(plus=1))["made"].why == "its arguments changed"
    reason = asked(inline, graph(n=5))["made"]
    assert (reason.finished, reason.runs, reason.why) == (3, 2, "these items are new, or their results are gone")


def test_fresh_says_so_and_a_skipped_node_is_told(inline: Bench, tmp_path: Path) -> None:
    inline.value(graph())
    assert asked(inline, graph(), fresh=True)["made"].why == "--fresh"
    inline.execute(graph(skip=True))
    assert states(asked(inline, graph(skip=True)))["more"] == "skipped"


def test_a_look_that_fails_is_told_with_its_error(inline: Bench) -> None:
    @task(cache=False, on_client=True)
    def fails(n: int) -> list[int]:
        raise OSError(f"nothing at {n}")

    reasons = asked(inline, pipeline(_failing(fails)).build(Ask()))
    assert (reasons["fails"].state, reasons["fails"].why) == ("failed", "OSError: nothing at 3")
    assert reasons["total"].state == "waits"


def _failing(fails: Task) -> Any:
    def story(spec: Ask) -> Any:
        return total(fails(spec.n))

    return story
