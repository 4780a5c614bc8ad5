from __future__ import annotations

import pickle
from typing import Any

import pytest

from swath.errors import PipelineError
from swath.graph.pipeline import pipeline
from swath.graph.ref import SKIPPED, Ref, fill, node_of, refs_in, select
from tests.graph.samples import Params, numbers


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


@pytest.mark.parametrize(
    "use", [lambda r: r > 3, lambda r: r >= 3, lambda r: r + 1, lambda r: 2 * r, lambda r: -r, lambda r: 1 in r]
)
def test_a_result_used_as_a_value_names_the_line(use: Any) -> None:
    with pytest.raises(PipelineError, match=r"use when=") as error:
        use(Ref("a"))
    assert f"{__file__}:{use.__code__.co_firstlineno}: the result of 'a' cannot be " in str(error.value)


def test_a_part_of_a_result_is_named_by_attribute_or_item() -> None:
    ref = Ref("scenes")
    assert repr(ref.image["a"][0]) == "scenes.image['a'][0]"
    assert select({"a": [5]}, (("item", "a"), ("item", 0))) == 5


def test_refs_are_found_and_replaced_in_nested_containers() -> None:
    template = {"a": [Ref("x"), (1, Ref("y").k)], "b": "plain"}
    assert [node_of(ref) for ref in refs_in(template)] == ["x", "y"]
    assert fill(template, Ref, node_of) == {"a": ["x", (1, "y")], "b": "plain"}


def test_skipped_is_one_object_in_every_process_and_false() -> None:
    assert pickle.loads(pickle.dumps(SKIPPED)) is SKIPPED
    assert not SKIPPED
