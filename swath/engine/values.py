"""The values of a run: results by node and item, and what a template with Refs stands for once they are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from swath.engine.ready import ReadySet
from swath.engine.store import ResultStore, Stored
from swath.engine.work import Kept, KeptItems
from swath.errors import PipelineError
from swath.graph.graph import Node
from swath.graph.ref import SKIPPED, Ref, fill, node_of, path_of, select

Walks = tuple[Any, ...]
"""Of a mapped node: the sequence or iterator behind each positional argument; None where it follows another node."""


class Values:
    """What the engine knows of results. Only small values and references are held; the rest is in the store."""

    def __init__(self, store: ResultStore, ready: ReadySet) -> None:
        self.store = store
        self.nodes: dict[str, Node] = {}
        self._ready = ready
        self._results: dict[str, dict[int, Stored]] = {}

    def put(self, name: str, item: int, stored: Stored) -> None:
        """An item's result."""
        self._results.setdefault(name, {})[item] = stored

    def of(self, name: str, item: int = 0) -> Stored | None:
        """An item's result; None when it was set aside or is not there yet."""
        return self._results.get(name, {}).get(item)

    def _all(self, name: str) -> tuple[Stored, ...]:
        results = self._results.get(name, {})
        return tuple(results[item] for item in sorted(results))

    def value(self, template: Any) -> Any:
        """The template's value in this process: for `when`, for lengths, for the specs of steps."""

        def get(ref: Ref) -> Any:
            name = node_of(ref)
            if self._ready.state(name) == "skipped":
                return SKIPPED
            found = [self.store.get(stored) for stored in self._all(name)]
            return select(found if self.nodes[name].mapped else found[0], path_of(ref))

        return fill(template, Ref, get)

    def arguments(self, template: Any) -> Any:
        """The template as a call takes it with it: stored results in the place of Refs."""

        def put(ref: Ref) -> Any:
            name = node_of(ref)
            if self._ready.state(name) == "skipped":
                return SKIPPED
            found = self._all(name)
            return KeptItems(found, path_of(ref)) if self.nodes[name].mapped else Kept(found[0], path_of(ref))

        return fill(template, Ref, put)

    def walks(self, node: Node) -> tuple[Walks, int | None]:
        """What a mapped node walks, and how many items that is; None when only the walk, or what it follows, will tell."""
        follows = set(self._ready.streams(node.name))
        walks = tuple(
            None if isinstance(a, Ref) and not path_of(a) and node_of(a) in follows else self._walk(node, a)
            for a in node.args
        )
        lengths = {len(walk) for walk in walks if walk is not None and not isinstance(walk, Iterator)}
        if len(lengths) > 1:
            raise PipelineError(
                f"{node.name}: the sequences that it walks together have different lengths: {sorted(lengths)}",
                remedy="give .map() sequences of one length, and what is the same for all by keyword",
            )
        endless = any(isinstance(walk, Iterator) for walk in walks)
        return walks, None if endless or not lengths else lengths.pop()

    def _walk(self, node: Node, argument: Any) -> Any:
        value = self.value(argument)
        if hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict)):
            return value
        try:
            return iter(value)
        except TypeError:
            raise PipelineError(
                f"{node.name}: .map() walks its positional arguments, but one is a {type(value).__name__}",
                remedy="pass it by keyword when it is the same for all items",
            ) from None

    def items(self, node: Node, walks: Walks, item: int) -> tuple[Any, ...] | None:
        """Positional arguments of one item. None when one was set aside; StopIteration when the walk is at its end."""
        found: list[Any] = []
        for argument, walk in zip(node.args, walks, strict=True):
            if walk is None:
                stored = self.of(node_of(argument), item)
                if stored is None:
                    return None
                found.append(Kept(stored))
            elif isinstance(walk, Iterator):
                found.append(next(walk))
            else:
                found.append(walk[item])
        return tuple(found)
