from __future__ import annotations

from typing import Any

import pytest

from swath.errors import PipelineError
from swath.graph.graph import Graph
from swath.graph.pipeline import pipeline
from tests.graph.samples import Params, doubled, numbers, total


def test_calling_tasks_in_a_pipeline_makes_nodes_whose_needs_come_before_them() -> None:
    graph = doubled.build(Params())
    assert [node.name for node in graph] == ["numbers", "double", "total"]
    assert [node.needs for node in graph] == [(), ("numbers",), ("double",)]
    assert [node.mapped for node in graph] == [False, True, False]


def test_the_same_task_twice_gets_two_names() -> None:
    @pipeline
    def twice(spec: Params) -> Any:
        return [numbers(1), numbers(2), numbers(3)]

    assert [node.name for node in twice.build(Params())] == ["numbers", "numbers-2", "numbers-3"]


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


def test_building_reads_nothing_and_is_repeatable() -> None:
    first, second = doubled.build(Params()), doubled.build(Params())
    assert isinstance(first, Graph)
    assert [(n.name, n.args, n.kwargs) for n in first if not n.needs] == [
        (n.name, n.args, n.kwargs) for n in second if not n.needs
    ]
