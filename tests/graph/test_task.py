from __future__ import annotations

import pickle
from typing import Any

import pytest

from swath.errors import PipelineError
from swath.graph.either import either
from swath.graph.pipeline import pipeline
from swath.graph.task import Task, task
from tests.graph.samples import Params, double, numbers


def test_outside_of_a_pipeline_a_task_is_the_function_itself() -> None:
    assert double(4) == 8
    assert double.map([1, 2], plus=1) == [3, 5]


def test_a_wrong_argument_is_an_error_while_the_graph_is_built() -> None:
    @pipeline
    def wrong(spec: Params) -> Any:
        return numbers(spec.n, 4)

    with pytest.raises(PipelineError, match=r"numbers\(\): too many positional arguments"):
        wrong.build(Params())


def test_a_task_may_not_have_a_parameter_called_when() -> None:
    with pytest.raises(PipelineError, match="'when' belongs to swath"):

        @task
        def bad(when: bool) -> None: ...


def test_options_change_the_policy_of_a_copy_only() -> None:
    more = double.options(retries=7, name="again")
    assert (more.policy.retries, more.name, double.policy.retries) == (7, "again", 2)
    with pytest.raises(PipelineError, match="retrys"):
        double.options(retrys=1)


def test_a_shipped_task_travels_by_name() -> None:
    loaded = pickle.loads(pickle.dumps(either))
    assert isinstance(loaded, Task)
    assert loaded.fn is either.fn
    assert loaded.takes_skipped
