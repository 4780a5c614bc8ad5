"""The ready set against a plain model: every order it gives is allowed, and every item comes exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.engine.ready_set import ReadySet
from swath.errors import PipelineError
from swath.graph.graph import Graph, Node
from swath.graph.ref import Ref
from swath.graph.task import task


@task
def work(*args: Any, **kwargs: Any) -> None: ...


def node(name: str, *args: Any, mapped: bool = False, **kwargs: Any) -> Node:
    return Node(name, work, args, kwargs, mapped=mapped)


def ready_set(*nodes: Node) -> ReadySet:
    ready = ReadySet()
    ready.add(Graph("test", nodes))
    return ready


def open_all(ready: ReadySet, counts: dict[str, int | None]) -> None:
    while (name := ready.next_openable()) is not None:
        ready.open(name, counts.get(name, 1))


def test_maps_on_maps_stream_without_a_barrier_and_the_deepest_comes_first() -> None:
    ready = ready_set(node("a", range(3), mapped=True), node("b", Ref("a"), mapped=True), node("c", Ref("b")))
    open_all(ready, {"a": 3, "b": None})
    order = []
    while (item := ready.next()) is not None:
        order.append(item)
        ready.settle(*item, ok=True)
        open_all(ready, {})
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("c", 0)]
    assert ready.finished


def test_an_iterator_of_unknown_length_ends_its_followers_too() -> None:
    ready = ready_set(node("a", iter(()), mapped=True), node("b", Ref("a"), mapped=True))
    open_all(ready, {"a": None, "b": None})
    assert ready.next() == ("a", 0)
    ready.settle("a", 0, ok=True)
    assert ready.next() == ("b", 0)
    ready.settle("b", 0, ok=True)
    assert ready.next() == ("a", 1)
    ready.set_count("a", 1)
    assert ready.finished


def test_followers_know_the_length_of_an_iterator_when_it_ends_before_its_items_do() -> None:
    ready = ready_set(
        node("a", iter(()), mapped=True), node("b", Ref("a"), mapped=True), node("c", Ref("b"), mapped=True)
    )
    open_all(ready, {"a": None, "b": None, "c": None})
    assert ready.count("c") is None
    ready.set_count("a", 3)
    assert [ready.count(name) for name in "abc"] == [3, 3, 3]


def test_what_follows_a_skipped_node_is_skipped_even_when_it_was_open() -> None:
    ready = ready_set(node("z"), node("a", [1], k=Ref("z"), mapped=True), node("b", Ref("a"), mapped=True))
    open_all(ready, {"b": None})
    ready.settle(*(ready.next() or ("", 0)), ok=True)
    assert ready.next_openable() == "a"
    ready.skip("a")
    assert ready.state("b") == "skipped"
    assert ready.finished


def test_a_mapped_node_fails_only_when_all_its_items_failed() -> None:
    for fails, state in (({0}, "done"), ({0, 1}, "failed")):
        ready = ready_set(node("a", [1, 2], mapped=True), node("b", Ref("a")))
        open_all(ready, {"a": 2})
        for item in (0, 1):
            assert ready.next() == ("a", item)
            ready.settle("a", item, ok=item not in fails)
        assert ready.state("a") == state
        assert ready.next_openable() == "b"
        assert ready.input_failed("b") == (state == "failed")


def test_streams_of_different_lengths_are_refused() -> None:
    ready = ready_set(
        node("a", [1], mapped=True), node("b", [1, 2], mapped=True), node("c", Ref("a"), Ref("b"), mapped=True)
    )
    with pytest.raises(PipelineError, match="different lengths"):
        open_all(ready, {"a": 1, "b": 2, "c": None})


@st.composite
def graphs(draw: st.DrawFn) -> tuple[tuple[Node, ...], dict[str, int]]:
    """Random graphs of single and mapped nodes; a mapped node iterates a list, or follows mapped nodes of its length."""
    nodes: list[Node] = []
    counts: dict[str, int] = {}
    for index in range(draw(st.integers(1, 8))):
        name = f"n{index}"
        earlier = [n.name for n in nodes]
        whole = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        kwargs = {f"k{i}": Ref(n) for i, n in enumerate(whole)}
        if not draw(st.booleans()):
            nodes.append(Node(name, work, (), kwargs))
            counts[name] = 1
            continue
        mapped = [n.name for n in nodes if n.mapped]
        follows = draw(st.sampled_from(mapped)) if mapped and draw(st.booleans()) else None
        counts[name] = counts[follows] if follows else draw(st.integers(0, 4))
        nodes.append(Node(name, work, (Ref(follows) if follows else [0] * counts[name],), kwargs, mapped=True))
    return tuple(nodes), counts


@given(graphs(), st.data())
def test_every_item_comes_once_and_after_all_it_needs(
    made: tuple[tuple[Node, ...], dict[str, int]], data: st.DataObject
) -> None:
    nodes, counts = made
    by_name = {n.name: n for n in nodes}
    ready = ready_set(*nodes)
    running: list[tuple[str, int]] = []
    settled: set[tuple[str, int]] = set()
    seen: set[tuple[str, int]] = set()

    def whole(name: str) -> bool:
        return all((name, i) in settled for i in range(counts[name]))

    while not ready.finished:
        while (name := ready.next_openable()) is not None:
            ready.open(name, None if ready.streams(name) else counts[name])
        item = ready.next()
        if item is not None:
            assert item not in seen
            seen.add(item)
            this = by_name[item[0]]
            for ref in this.kwargs.values():
                assert whole(ref._node)
            if this.mapped and isinstance(this.args[0], Ref):
                assert (this.args[0]._node, item[1]) in settled
            running.append(item)
        if running and (item is None or data.draw(st.booleans())):
            done = running.pop(data.draw(st.integers(0, len(running) - 1)))
            settled.add(done)
            ready.settle(*done, ok=True)
        elif item is None:
            break
    assert ready.finished
    assert seen == {(name, i) for name, count in counts.items() for i in range(count)}


def test_what_needs_a_failed_node_fails_at_once_whatever_else_it_waits_for() -> None:
    ready = ready_set(node("a"), node("b"), node("c", Ref("a"), Ref("b")), node("d", Ref("c")))
    open_all(ready, {})
    assert ready.next() == ("a", 0)
    ready.settle("a", 0, ok=False)
    assert ready.next_openable() == "c"
    assert ready.input_failed("c")
    ready.fail("c")
    assert ready.next_openable() == "d"
    ready.fail("d")
    assert ready.next() == ("b", 0)
    ready.settle("b", 0, ok=True)
    assert ready.next_openable() is None
    assert ready.finished
