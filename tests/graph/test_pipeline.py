from __future__ import annotations

from typing import Any

import pytest

from swath.errors import PipelineError
from swath.graph.pipeline import Pipeline, pipeline
from tests.graph.samples import Params, doubled


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
