"""The values of a run: results by node and item, and what a template with Refs stands for once they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from swath.engine.ready_set import ReadySet
from swath.engine.store import ResultStore
from swath.engine.stored_args import StoredArgument, StoredItems, load_arguments
from swath.engine.stored_result import StoredResult
from swath.errors import PipelineError
from swath.graph.graph import Node
from swath.graph.ref import SKIPPED, Ref, fill, node_of, path_of

ItemSources = tuple[Any, ...]
"""Of a mapped node: the sequence or iterator behind each positional argument; None where it follows another node."""


class NodeResults:
    """What the engine knows of results.

    Held are references only: those of single calls, and of a mapped node's items those that a follower has not taken yet. Who
    takes a mapped node as a whole reads it from the journal (`read` gives the results of a node's items in order).
    """

    def __init__(self, store: ResultStore, ready: ReadySet, read: Callable[[str], Iterable[StoredResult]]) -> None:
        self.store = store
        self.nodes: dict[str, Node] = {}
        self._ready = ready
        self._read = read
        self._single: dict[str, StoredResult] = {}
        self._items: dict[str, dict[int, StoredResult]] = {}
        self._followers: dict[str, int] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self._begun: set[str] = set()
        """Followers that have taken items: such a one takes all before it ends."""
        self._whole: dict[str, StoredItems] = {}

    def add(self, nodes: Iterable[Node]) -> None:
        """Nodes that the ready set knows already."""
        for node in nodes:
            self.nodes[node.name] = node
            for stream in self._ready.streams(node.name):
                self._followers[stream] = self._followers.get(stream, 0) + 1

    def put(self, name: str, item: int, stored: StoredResult) -> None:
        """An item's result."""
        if not self.nodes[name].mapped:
            self._single[name] = stored
        elif self._followers.get(name):
            self._items.setdefault(name, {})[item] = stored

    def of(self, name: str) -> StoredResult:
        """The result of a single call."""
        return self._single[name]

    def _follow(self, name: str, item: int) -> StoredResult | None:
        """The result of a mapped node's item, for one of its followers; None when it was set aside."""
        items = self._items.get(name, {})
        stored = items.get(item)
        taken = self._taken.pop((name, item), 0) + 1
        if taken < self._followers[name]:
            self._taken[name, item] = taken
        else:
            items.pop(item, None)
        return stored

    def ended(self, name: str) -> None:
        """A node will take nothing more."""
        if name in self._begun:
            return
        for stream in self._ready.streams(name):
            self._followers[stream] -= 1
            items = self._items.get(stream, {})
            for item in [item for item in items if self._taken.get((stream, item), 0) >= self._followers[stream]]:
                items.pop(item)
                self._taken.pop((stream, item), None)

    def forget(self, names: Sequence[str]) -> None:
        """Nodes whose results nothing will ask for any more."""
        self._begun.difference_update(names)
        for name in names:
            for held in (self.nodes, self._single, self._items, self._followers, self._whole):
                held.pop(name, None)

    def _all(self, name: str) -> StoredItems:
        if name not in self._whole:
            self._whole[name] = StoredItems.write(self._read(name), self.store)
        return self._whole[name]

    def arguments(self, template: Any) -> Any:
        """The template as a call takes it with it: references to stored results in the place of Refs."""

        def put(ref: Ref) -> Any:
            name = node_of(ref)
            if self._ready.state(name) == "skipped":
                return SKIPPED
            if self.nodes[name].mapped:
                return self._all(name)._replace(path=path_of(ref))
            return StoredArgument(self._single[name], path_of(ref))

        return fill(template, Ref, put)

    def value(self, template: Any) -> Any:
        """The template's value in this process: for `when`, for lengths, for the specs of steps."""
        return load_arguments(self.arguments(template), self.store)

    def walks(self, node: Node) -> tuple[ItemSources, int | None]:
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

    def items(self, node: Node, walks: ItemSources, item: int) -> tuple[Any, ...] | None:
        """Positional arguments of one item. None when one was set aside; StopIteration when the walk is at its end."""
        found: list[Any] = []
        whole = True
        for argument, walk in zip(node.args, walks, strict=True):
            if walk is None:
                self._begun.add(node.name)
                stored = self._follow(node_of(argument), item)
                whole = whole and stored is not None
                found.append(None if stored is None else StoredArgument(stored))
            elif isinstance(walk, Iterator):
                found.append(next(walk))
            else:
                found.append(walk[item])
        return tuple(found) if whole else None
