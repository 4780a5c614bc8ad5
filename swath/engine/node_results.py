"""The results of a run by node and item, and the values that templates with Refs stand for."""

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
"""Of a mapped node: the sequence or iterator behind each positional argument; None where it consumes another node's items."""


class NodeResults:
    """References to results of single calls, and of a mapped node's items while a follower has not taken them.

    A node that needs all results of a mapped node reads them from the journal: `read` gives them in the order of the items.
    """

    def __init__(self, store: ResultStore, ready: ReadySet, read: Callable[[str], Iterable[StoredResult]]) -> None:
        self.store = store
        self.nodes: dict[str, Node] = {}
        self._ready = ready
        self._read = read
        self._single: dict[str, StoredResult] = {}
        """Of single calls."""
        self._items: dict[str, dict[int, StoredResult]] = {}
        """Of items of mapped nodes, until every follower has taken them."""
        self._followers: dict[str, int] = {}
        """How many nodes consume a mapped node item by item."""
        self._taken: dict[tuple[str, int], int] = {}
        """How many of them have taken an item that others have not."""
        self._begun: set[str] = set()
        """Followers that have taken items: such a node takes all before it ends."""
        self._whole: dict[str, StoredItems] = {}
        """All results of a mapped node."""

    def add(self, nodes: Iterable[Node]) -> None:
        """Add nodes that are in the ready set already."""
        for node in nodes:
            self.nodes[node.name] = node
            for stream in self._ready.streams(node.name):
                self._followers[stream] = self._followers.get(stream, 0) + 1

    def __len__(self) -> int:
        """Number of references in memory, those included that a follower has taken and another has not."""
        return len(self._single) + sum(map(len, self._items.values())) + len(self._taken)

    def put(self, name: str, item: int, result: StoredResult) -> None:
        """Add an item's result."""
        if not self.nodes[name].mapped:
            self._single[name] = result
        elif self._followers.get(name):
            self._items.setdefault(name, {})[item] = result

    def of_call(self, name: str) -> StoredResult:
        """The result of a single call."""
        return self._single[name]

    def _take(self, name: str, item: int) -> StoredResult | None:
        """The result of a mapped node's item, for one of its followers; None when it was set aside."""
        items = self._items.get(name, {})
        result = items.get(item)
        taken = self._taken.pop((name, item), 0) + 1
        if taken < self._followers[name]:
            self._taken[name, item] = taken
        else:
            items.pop(item, None)
        return result

    def end_follower(self, name: str) -> None:
        """A node ended: it takes no further items."""
        if name in self._begun:
            return
        for stream in self._ready.streams(name):
            self._followers[stream] -= 1
            items = self._items.get(stream, {})
            for item in [item for item in items if self._taken.get((stream, item), 0) >= self._followers[stream]]:
                items.pop(item)
                self._taken.pop((stream, item), None)

    def forget(self, names: Sequence[str]) -> None:
        """Drop nodes whose results no other node needs."""
        self._begun.difference_update(names)
        for name in names:
            for by_name in (self.nodes, self._single, self._items, self._followers, self._whole):
                by_name.pop(name, None)

    def _all(self, name: str) -> StoredItems:
        if name not in self._whole:
            self._whole[name] = StoredItems.write(self._read(name), self.store)
        return self._whole[name]

    def arguments(self, template: Any) -> Any:
        """The template as it travels with a call: references to stored results in the place of Refs."""

        def put(ref: Ref) -> Any:
            name = node_of(ref)
            if self._ready.state(name) == "skipped":
                return SKIPPED
            if self.nodes[name].mapped:
                return self._all(name)._replace(path=path_of(ref))
            return StoredArgument(self._single[name], path_of(ref))

        return fill(template, Ref, put)

    def value(self, template: Any) -> Any:
        """The template's value in this process: for `when`, for the lengths of sequences, for the specs of steps."""
        return load_arguments(self.arguments(template), self.store)

    def sources(self, node: Node) -> tuple[ItemSources, int | None]:
        """What a mapped node takes its items from, and their number; None where an iterator or another node decides it."""
        follows = set(self._ready.streams(node.name))
        sources = tuple(
            None if isinstance(a, Ref) and not path_of(a) and node_of(a) in follows else self._source(node, a)
            for a in node.args
        )
        lengths = {len(source) for source in sources if source is not None and not isinstance(source, Iterator)}
        if len(lengths) > 1:
            raise PipelineError(
                f"{node.name}: the sequences that .map() iterates together have different lengths: {sorted(lengths)}",
                remedy="give .map() sequences of one length, and what is the same for all by keyword",
            )
        endless = any(isinstance(source, Iterator) for source in sources)
        return sources, None if endless or not lengths else lengths.pop()

    def _source(self, node: Node, argument: Any) -> Any:
        value = self.value(argument)
        if hasattr(value, "__len__") and hasattr(value, "__getitem__") and not isinstance(value, (str, bytes, dict)):
            return value
        try:
            return iter(value)
        except TypeError:
            raise PipelineError(
                f"{node.name}: .map() iterates its positional arguments, but one is a {type(value).__name__}",
                remedy="pass it by keyword when it is the same for all items",
            ) from None

    def item_arguments(self, node: Node, sources: ItemSources, item: int) -> tuple[Any, ...] | None:
        """Positional arguments of one item. None when one was set aside; raises StopIteration at the end of an iterator."""
        found: list[Any] = []
        complete = True
        for argument, source in zip(node.args, sources, strict=True):
            if source is None:
                self._begun.add(node.name)
                result = self._take(node_of(argument), item)
                complete = complete and result is not None
                found.append(None if result is None else StoredArgument(result))
            elif isinstance(source, Iterator):
                found.append(next(source))
            else:
                found.append(source[item])
        return tuple(found) if complete else None
