from __future__ import annotations

from typing import Any

from swath.graph.either import either
from swath.graph.pipeline import pipeline
from swath.graph.ref import node_of
from tests.graph.samples import Params, doubled, numbers, total


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
