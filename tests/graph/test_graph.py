from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from swath.errors import PipelineError
from swath.graph.either import either
from swath.graph.graph import Graph
from swath.graph.pipeline import Pipeline, pipeline
from swath.graph.ref import SKIPPED, Ref, fill, node_of, refs_in, select
from swath.graph.task import Task, task
from swath.spec.base import Spec


class Params(Spec):
    n: int = 3


@task
def numbers(n: int) -> list[int]:
    return list(range(n))


@task(retries=2, timeout_s=5)
def double(x: int, *, plus: int = 0) -> int:
    return 2 * x + plus


@task
def total(values: Sequence[int]) -> int:
    return sum(values)


@pipeline
def doubled(spec: Params) -> Any:
    """Double some numbers.

    And add them up.
    """
    found = numbers(spec.n)
    return total(double.map(found, plus=1))


def test_calling_tasks_in_a_pipeline_makes_nodes_whose_needs_come_before_them() -> None:
    graph = doubled.build(Params())
    assert [node.name for node in graph] == ["numbers", "double", "total"]
    assert [node.needs for node in graph] == [(), ("numbers",), ("double",)]
    assert [node.mapped for node in graph] == [False, True, False]


def test_outside_of_a_pipeline_a_task_is_the_function_itself() -> None:
    assert double(4) == 8
    assert double.map([1, 2], plus=1) == [3, 5]


def test_the_same_task_twice_gets_two_names() -> None:
    @pipeline
    def twice(spec: Params) -> Any:
        return [numbers(1), numbers(2), numbers(3)]

    assert [node.name for node in twice.build(Params())] == ["numbers", "numbers-2", "numbers-3"]


def test_a_wrong_argument_is_an_error_while_the_graph_is_built() -> None:
    @pipeline
    def wrong(spec: Params) -> Any:
        return numbers(spec.n, 4)

    with pytest.raises(PipelineError, match=r"numbers\(\): too many positional arguments"):
        wrong.build(Params())


@pytest.mark.parametrize(
    "use",
    [lambda r: bool(r), lambda r: list(r), lambda r: len(r), lambda r: r == 3],
    ids=["if", "for", "len", "compare"],
)
def test_using_a_result_too_early_says_to_use_when_or_map(use: Any) -> None:
    @pipeline
    def early(spec: Params) -> Any:
        return use(numbers(spec.n))

    with pytest.raises(PipelineError, match=r"known only at run time[\s\S]*when=[\s\S]*map"):
        early.build(Params())


def test_a_result_of_another_graph_is_refused() -> None:
    kept: list[Any] = []

    @pipeline
    def first(spec: Params) -> Any:
        kept.append(numbers(spec.n))
        return kept[0]

    @pipeline
    def second(spec: Params) -> Any:
        return total(kept[0])

    first.build(Params())
    with pytest.raises(PipelineError, match="belongs to another graph"):
        second.build(Params())


def test_a_part_of_a_result_is_named_by_attribute_or_item() -> None:
    ref = Ref("scenes")
    assert repr(ref.image["a"][0]) == "scenes.image['a'][0]"
    assert select({"a": [5]}, (("item", "a"), ("item", 0))) == 5


def test_refs_are_found_and_replaced_in_nested_containers() -> None:
    template = {"a": [Ref("x"), (1, Ref("y").k)], "b": "plain"}
    assert [node_of(ref) for ref in refs_in(template)] == ["x", "y"]
    assert fill(template, Ref, node_of) == {"a": ["x", (1, "y")], "b": "plain"}


def test_a_prefixed_graph_names_and_needs_consistently() -> None:
    graph = doubled.build(Params()).prefixed("step/")
    assert [node.name for node in graph] == ["step/numbers", "step/double", "step/total"]
    assert graph["step/total"].needs == ("step/double",)
    assert node_of(graph.result) == "step/total"


def test_when_is_a_need_of_its_node() -> None:
    @pipeline
    def branch(spec: Params) -> Any:
        found = numbers(spec.n)
        return either(total(found, when=found), 0)

    assert branch.build(Params())["total"].needs == ("numbers",)


def test_a_task_may_not_have_a_parameter_called_when() -> None:
    with pytest.raises(PipelineError, match="'when' belongs to swath"):

        @task
        def bad(when: bool) -> None: ...


def test_options_change_the_policy_of_a_copy_only() -> None:
    more = double.options(retries=7, name="again")
    assert (more.policy.retries, more.name, double.policy.retries) == (7, "again", 2)
    with pytest.raises(PipelineError, match="retrys"):
        double.options(retrys=1)


def test_a_pipeline_needs_one_parameter_with_a_spec_class() -> None:
    @pipeline
    def loose(spec: int) -> None: ...

    with pytest.raises(PipelineError, match="must take one parameter annotated with a Spec class"):
        _ = loose.spec_class


def test_a_pipeline_inside_a_pipeline_is_one_node() -> None:
    @pipeline
    def outer(spec: Params) -> Any:
        return [doubled(Params(n=2)), doubled.map([Params(n=1), Params(n=2)])]

    graph = outer.build(Params())
    assert [(node.name, node.mapped, isinstance(node.target, Pipeline)) for node in graph] == [
        ("doubled", False, True),
        ("doubled-2", True, True),
    ]


def test_building_reads_nothing_and_is_repeatable() -> None:
    first, second = doubled.build(Params()), doubled.build(Params())
    assert isinstance(first, Graph)
    assert [(n.name, n.args, n.kwargs) for n in first if not n.needs] == [
        (n.name, n.args, n.kwargs) for n in second if not n.needs
    ]


def test_skipped_is_one_object_in_every_process_and_false() -> None:
    assert pickle.loads(pickle.dumps(SKIPPED)) is SKIPPED
    assert not SKIPPED


def test_a_shipped_task_travels_by_name() -> None:
    loaded = pickle.loads(pickle.dumps(either))
    assert isinstance(loaded, Task)
    assert loaded.fn is either.fn
    assert loaded.takes_skipped
