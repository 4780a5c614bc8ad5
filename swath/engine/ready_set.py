"""The ready set: which item of which node runs next. Pure scheduling of names and numbers, without values or calls.

Items of a mapped node become ready one by one: maps on maps stream, without a barrier between them. Of all ready items those
of the deepest node come first, so that early items finish early and few results are in memory.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from swath.errors import PipelineError
from swath.graph.graph import Graph, Node
from swath.graph.ref import Ref, node_of, path_of, refs_in

State = Literal["waiting", "open", "done", "skipped", "failed"]


@dataclass
class _Entry:
    """The scheduling state of one node."""

    node: Node
    depth: int
    needs: frozenset[str]
    """Nodes that must be settled as a whole before this one opens."""
    streams: tuple[str, ...]
    """Mapped nodes that this one consumes item by item."""
    state: State = "waiting"
    count: int | None = None
    """Number of items, once known."""
    cursor: int = 0
    """Next item of an unstreamed node."""
    queue: list[int] = field(default_factory=list)
    """Of a streamed node: a heap of the items that are ready."""
    listed: bool = False
    """Whether it is in the heap of nodes that may have ready items."""
    settled: int = 0
    """Items that ended, with a result or without."""
    failed: int = 0
    """Items that ended without a result."""
    arrived: dict[int, int] = field(default_factory=dict)
    """Of a node with several streams: how many of them have ended item i."""
    ended: list[int] = field(default_factory=list)
    """Items that ended, for followers that open later."""
    length: int | None = None
    """Of a streamed node: length of the plain sequences that it iterates beside its streams."""

    @property
    def ready(self) -> int | None:
        """Number of items that can be taken; None while an iterator's length is unknown."""
        if self.state != "open":
            return 0
        if self.streams:
            return len(self.queue)
        return None if self.count is None else self.count - self.cursor


def streamed(node: Node) -> tuple[str, ...]:
    """Names of the nodes that a mapped node may consume item by item: its positional arguments that are plain Refs."""
    return tuple(node_of(arg) for arg in node.args if isinstance(arg, Ref) and not path_of(arg)) if node.mapped else ()


class ReadySet:
    """The scheduling state of all nodes of one run."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[str, set[str]] = {}
        self._followers: dict[str, list[str]] = {}
        self._openable: list[tuple[int, str]] = []
        self._listed: list[tuple[int, int, str]] = []
        self._order = 0
        self._unsettled = 0

    def add(self, graph: Graph, depth: int = 0) -> None:
        """Add the nodes of a graph; their names must be new. `depth` is that of the node whose step they are."""
        for node in graph:
            self._add(node, depth)

    def _add(self, node: Node, base: int) -> None:
        streams = tuple(name for name in streamed(node) if self._entries[name].node.mapped)
        needs = frozenset(name for name in node.needs if name not in streams or self._used_whole(node, name))
        depth = 1 + max((self._entries[name].depth for name in node.needs), default=base)
        self._entries[node.name] = _Entry(node, depth, needs, streams)
        self._unsettled += 1
        for name in streams:
            self._followers.setdefault(name, []).append(node.name)
        missing = {name for name in needs if self._entries[name].state in ("waiting", "open")}
        for name in missing:
            self._waiting.setdefault(name, set()).add(node.name)
        if not missing:
            heapq.heappush(self._openable, (self._next_order(), node.name))

    @staticmethod
    def _used_whole(node: Node, name: str) -> bool:
        """Whether a mapped node also needs all results of `name`: by a keyword, by `when`, or by a part of them."""
        others = [arg for arg in node.args if not (isinstance(arg, Ref) and not path_of(arg))]
        return any(node_of(ref) == name for ref in refs_in([others, node.kwargs, node.when]))

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    # --- state

    @property
    def finished(self) -> bool:
        """Whether every node is done, skipped or failed."""
        return self._unsettled == 0

    def state(self, name: str) -> State:
        return self._entries[name].state

    def depth(self, name: str) -> int:
        return self._entries[name].depth

    def streams(self, name: str) -> tuple[str, ...]:
        """Mapped nodes that a node consumes item by item."""
        return self._entries[name].streams

    def followers(self, name: str) -> tuple[str, ...]:
        """Mapped nodes that consume a node item by item."""
        return tuple(self._followers.get(name, ()))

    def input_failed(self, name: str) -> bool:
        """Whether a node cannot run because one of its inputs failed."""
        entry = self._entries[name]
        return any(self._entries[need].state == "failed" for need in (*entry.needs, *entry.streams))

    def input_skipped(self, name: str) -> bool:
        """Whether one of a node's inputs was skipped."""
        entry = self._entries[name]
        return any(self._entries[need].state == "skipped" for need in (*entry.needs, *entry.streams))

    def next_openable(self) -> str | None:
        """A node whose inputs are settled; each is returned once. The engine then opens, skips or fails it."""
        while self._openable:
            name = heapq.heappop(self._openable)[1]
            entry = self._entries.get(name)
            if entry is not None and entry.state == "waiting":
                return name
        return None

    def first(self, deferred: Callable[[str], bool] = lambda name: False) -> str | None:
        """The node whose items run next: the deepest with ready items, of those the first. Nodes that are `deferred` are left out."""
        aside: list[tuple[int, int, str]] = []
        found = None
        while self._listed and found is None:
            name = self._listed[0][2]
            entry = self._entries.get(name)
            if entry is None or entry.ready == 0:
                heapq.heappop(self._listed)
                if entry is not None:
                    entry.listed = False
            elif deferred(name):
                aside.append(heapq.heappop(self._listed))
            else:
                found = name
        for place in aside:
            heapq.heappush(self._listed, place)
        return found

    def take(self, name: str, limit: int) -> Sequence[int]:
        """Up to `limit` ready items of a node, in order; each is returned once. Of an iterator of unknown length one."""
        entry = self._entries[name]
        if entry.streams:
            return [heapq.heappop(entry.queue) for _ in range(min(limit, len(entry.queue)))]
        begin = entry.cursor
        entry.cursor += 1 if entry.count is None else min(limit, entry.count - begin)
        return range(begin, entry.cursor)

    def next(self) -> tuple[str, int] | None:
        """Take the ready item that runs next, as (node, item)."""
        name = self.first()
        return None if name is None else (name, self.take(name, 1)[0])

    def ready_count(self, name: str) -> int | None:
        """Number of ready items of a node; None while an iterator's length is unknown."""
        return self._entries[name].ready

    def ready_counts(self) -> dict[str, int]:
        """Number of ready items by node; of an iterator of unknown length one."""
        names = (name for _, _, name in self._listed if name in self._entries)
        counts = {name: 1 if (ready := self._entries[name].ready) is None else ready for name in names}
        return {name: count for name, count in counts.items() if count}

    # --- transitions

    def open(self, name: str, count: int | None) -> None:
        """Open a node. `count` is its number of items: 1 for a single call, None while an iterator's length is unknown. Of a
        node that consumes others item by item it is the length of the sequences that it iterates beside them, if any."""
        entry = self._entries[name]
        entry.state = "open"
        if entry.streams:
            entry.length = count
            self._inherit_count(name)
            for stream in entry.streams:
                for item in self._entries[stream].ended:
                    self._arrive(entry, item)
        else:
            entry.count = count
            self._list(entry)
            for follower in self._followers.get(name, ()):
                self._inherit_count(follower)
        self._maybe_settle(name)

    def set_count(self, name: str, count: int) -> None:
        """The iterator of a node ended after `count` items."""
        self._entries[name].count = count
        for follower in self._followers.get(name, ()):
            self._inherit_count(follower)
            self._maybe_settle(follower)
        self._maybe_settle(name)

    def _inherit_count(self, name: str) -> None:
        entry = self._entries[name]
        if entry.state != "open":
            return
        counts = [self._entries[stream].count for stream in entry.streams]
        known = {count for count in (*counts, entry.length) if count is not None}
        if len(known) > 1:
            raise PipelineError(
                f"{name}: the sequences that .map() iterates together have different lengths: {sorted(known)}",
                remedy="give .map() sequences of one length, and what is the same for all by keyword",
            )
        if None not in counts:
            entry.count = counts[0]
            for follower in self._followers.get(name, ()):
                self._inherit_count(follower)

    def count(self, name: str) -> int | None:
        return self._entries[name].count

    def settle(self, name: str, item: int, *, ok: bool) -> None:
        """An item ended, with a result (`ok`) or without."""
        entry = self._entries[name]
        entry.settled += 1
        entry.failed += not ok
        later = False
        for follower in self._followers.get(name, ()):
            following = self._entries[follower]
            if following.state == "open":
                self._arrive(following, item)
            later = later or following.state == "waiting"
        if later:
            entry.ended.append(item)
        self._maybe_settle(name)

    def _arrive(self, entry: _Entry, item: int) -> None:
        if len(entry.streams) > 1:
            arrived = entry.arrived[item] = entry.arrived.get(item, 0) + 1
            if arrived < len(entry.streams):
                return
            del entry.arrived[item]
        heapq.heappush(entry.queue, item)
        self._list(entry)

    def _list(self, entry: _Entry) -> None:
        if not entry.listed:
            entry.listed = True
            heapq.heappush(self._listed, (-entry.depth, self._next_order(), entry.node.name))

    def forget(self, names: Sequence[str]) -> None:
        """Drop nodes that are settled and that no other node needs."""
        for name in names:
            del self._entries[name]
            self._followers.pop(name, None)
            self._waiting.pop(name, None)

    def _maybe_settle(self, name: str) -> None:
        entry = self._entries[name]
        if entry.state == "open" and entry.count is not None and entry.settled >= entry.count:
            self._close(name, "failed" if entry.failed and entry.failed == entry.count else "done")

    def skip(self, name: str) -> None:
        """A node does not run, because its `when` was false or an input was skipped."""
        self._close(name, "skipped")

    def fail(self, name: str) -> None:
        """A node cannot run, because an input failed or it was given up."""
        self._close(name, "failed")

    def _close(self, name: str, state: State) -> None:
        entry = self._entries[name]
        early = entry.state == "open" and (entry.count is None or entry.settled < entry.count)
        entry.state = state
        entry.count = entry.count if entry.count is not None else 0
        self._unsettled -= 1
        for waiting in sorted(self._waiting.pop(name, ())):
            impossible = state == "failed"  # it cannot run any more, whatever its other inputs do
            if impossible or not any(
                self._entries[n].state in ("waiting", "open") for n in self._entries[waiting].needs
            ):
                heapq.heappush(self._openable, (self._next_order(), waiting))
        for follower in self._followers.get(name, ()):
            if self._entries[follower].state != "open":
                continue
            if state == "skipped" or (state == "failed" and (early or not entry.settled)):
                self._close(follower, state)
            else:
                self._inherit_count(follower)
                self._maybe_settle(follower)
