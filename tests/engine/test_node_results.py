"""References to results of items leave the memory when every follower has taken them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from swath.engine.node_results import NodeResults
from swath.engine.stored_result import StoredResult

RESULT = StoredResult("digest", 1, b"a")
FOLLOWS = {"b": ("a",), "c": ("a",)}


def results() -> NodeResults:
    ready: Any = SimpleNamespace(streams=lambda name: FOLLOWS.get(name, ()))
    store: Any = None
    found = NodeResults(store, ready, lambda name: ())
    nodes: Any = [SimpleNamespace(name=name, mapped=True) for name in "abc"]
    found.add(nodes)
    return found


def test_an_item_is_there_until_both_followers_have_taken_it() -> None:
    found = results()
    found.put("a", 0, RESULT)
    found.put("c", 0, RESULT)  # which nothing follows
    assert len(found) == 1
    assert found._take("a", 0) is RESULT
    assert len(found) == 2  # the item, and that one has taken it
    assert found._take("a", 0) is RESULT
    assert len(found) == 0


def test_a_follower_that_ended_is_not_waited_for() -> None:
    found = results()
    for item in range(3):
        found.put("a", item, RESULT)
    found._take("a", 0)
    found.end_follower("b")
    assert len(found) == 2  # the first was taken by all that are left
    found._take("a", 1)
    found.end_follower("c")
    assert len(found) == 0
