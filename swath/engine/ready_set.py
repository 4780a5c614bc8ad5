"""The ready set: which call comes next. Pure bookkeeping of names and numbers; it knows no values and makes no call.

Items of a mapped node are ready one by one: maps on maps stream, there is no barrier between them. Of all that is ready
the deepest node comes first, so that early items finish early and little is held.
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
    """What is known of one node while the run goes on."""

    node: Node
    depth: int
    needs: frozenset[str]
    """Nodes that must be settled as a whole before this one opens."""
    streams: tuple[str, ...]
    """Mapped nodes that this one follows item by item."""
    state: State = "waiting"
    count: int | None = None
    """Number of items, once known."""
    cursor: int = 0
    """Next item of an unstreamed node."""
    queue: list[int] = field(default_factory=list)
    """Of a streamed node: a heap of the items that are ready."""
    listed: bool = False
    """Whether it is among the nodes that may have something ready."""
    settled: int = 0
    failed: int = 0
    arrived: dict[int, int] = field(default_factory=dict)
    """Of a node with several streams: how many of them have item i."""
    ended: list[int] = field(default_factory=list)
    """Settled items, for followers that open later."""
    length: int | None = None
    """Of a streamed node: length of the plain sequences that it walks beside its streams."""

    @property
    def ready(self) -> int | None:
        """How many items can be taken; None when only its walk will tell."""
        if self.state != "open":
            return 0
        if self.streams:
            return len(self.queue)
        return None if self.count is None else self.count - self.cursor


def streamed(node: Node) -> tuple[str, ...]:
    """Names of the nodes whose items a mapped node may follow one by one: its positional arguments that are plain Refs."""
    return tuple(node_of(arg) for arg in node.args if isinstance(arg, Ref) and not path_of(arg)) if node.mapped else ()


class ReadySet:
    """The bookkeeping of one run."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[str, set[str]] = {}
        self._followers: dict[str, list[str]] = {}
        self._openable: list[tuple[int, str]] = []
        self._listed: list[tuple[int, int, str]] = []
        self._order = 0
        self._unsettled = 0

    def add(self, graph: Graph, depth: int = 0) -> None:
        """Take the nodes of a graph in. Their names must be new. `depth` is that of the node that they belong to."""
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
        """Whether a mapped node also takes `name` as a whole, through a keyword, `when` or a part of it."""
        others = [arg for arg in node.args if not (isinstance(arg, Ref) and not path_of(arg))]
        return any(node_of(ref) == name for ref in refs_in([others, node.kwargs, node.when]))

    def _next_order(self) -> int:
        self._order += 1
        return self._order

    # --- what the engine asks

    @property
    def finished(self) -> bool:
        """Whether every node is done, skipped or failed."""
        return self._unsettled == 0

    def state(self, name: str) -> State:
        return self._entries[name].state

    def depth(self, name: str) -> int:
        return self._entries[name].depth

    def streams(self, name: str) -> tuple[str, ...]:
        """Mapped nodes that a node follows item by item."""
        return self._entries[name].streams

    def followers(self, name: str) -> tuple[str, ...]:
        """Mapped nodes that follow a node item by item."""
        return tuple(self._followers.get(name, ()))

    def lost(self, name: str) -> bool:
        """Whether a node cannot run because something that it needs failed."""
        entry = self._entries[name]
        return any(self._entries[need].state == "failed" for need in (*entry.needs, *entry.streams))

    def skipped(self, name: str) -> bool:
        """Whether something that a node needs was skipped."""
        entry = self._entries[name]
        return any(self._entries[need].state == "skipped" for need in (*entry.needs, *entry.streams))

    def openable(self) -> str | None:
        """A node whose needs are settled; each is named once. The engine then opens, skips or fails it."""
        while self._openable:
            name = heapq.heappop(self._openable)[1]
            entry = self._entries.get(name)
            if entry is not None and entry.state == "waiting":
                return name
        return None

    def first(self, held: Callable[[str], bool] = lambda name: False) -> str | None:
        """The node whose items come next: the deepest with something ready, of such the first. Not one that is `held` back."""
        aside: list[tuple[int, int, str]] = []
        found = None
        while self._listed and found is None:
            name = self._listed[0][2]
            entry = self._entries.get(name)
            if entry is None or entry.ready == 0:
                heapq.heappop(self._listed)
                if entry is not None:
                    entry.listed = False
            elif held(name):
                aside.append(heapq.heappop(self._listed))
            else:
                found = name
        for place in aside:
            heapq.heappush(self._listed, place)
        return found

    def take(self, name: str, most: int) -> Sequence[int]:
        """Ready items of a node, in order, at most so many; each is given once. Of a walk of unknown length one."""
        entry = self._entries[name]
        if entry.streams:
            return [heapq.heappop(entry.queue) for _ in range(min(most, len(entry.queue)))]
        begin = entry.cursor
        entry.cursor += 1 if entry.count is None else min(most, entry.count - begin)
        return range(begin, entry.cursor)

    def next(self) -> tuple[str, int] | None:
        """The ready item that comes first."""
        name = self.first()
        return None if name is None else (name, self.take(name, 1)[0])

    def left(self, name: str) -> int | None:
        """How many items of a node are ready; None when only its walk will tell."""
        return self._entries[name].ready

    def waiting(self) -> dict[str, int]:
        """How many items are ready, by node; of a walk of unknown length one."""
        names = (name for _, _, name in self._listed if name in self._entries)
        counts = {name: 1 if (ready := self._entries[name].ready) is None else ready for name in names}
        return {name: count for name, count in counts.items() if count}

    # --- what the engine says

    def open(self, name: str, count: int | None) -> None:
        """A node begins. `count` is its number of items: 1 for a single call, None when only its walk will tell. Of a node
        that follows others item by item it is the length of what it walks beside them, or None when there is no such."""
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

    def ended(self, name: str, count: int) -> None:
        """The walk of a node of unknown length came to its end."""
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
                f"{name}: the sequences that it walks together have different lengths: {sorted(known)}",
                remedy="give .map() sequences of one length, and what is the same for all by keyword",
            )
        if None not in counts:
            entry.count = counts[0]
            for follower in self._followers.get(name, ()):
                self._inherit_count(follower)

    def count(self, name: str) -> int | None:
        return self._entries[name].count

    def settle(self, name: str, item: int, *, ok: bool) -> None:
        """An item ended: with a result, or set aside."""
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
        """Leave out nodes that are settled and that nothing else will ask for."""
        for name in names:
            del self._entries[name]
            self._followers.pop(name, None)
            self._waiting.pop(name, None)

    def _maybe_settle(self, name: str) -> None:
        entry = self._entries[name]
        if entry.state == "open" and entry.count is not None and entry.settled >= entry.count:
            self._close(name, "failed" if entry.failed and entry.failed == entry.count else "done")

    def skip(self, name: str) -> None:
        """A node does not run, because its `when` was false or what it needs was skipped."""
        self._close(name, "skipped")

    def fail(self, name: str) -> None:
        """A node cannot run, because what it needs failed."""
        self._close(name, "failed")

    def _close(self, name: str, state: State) -> None:
        entry = self._entries[name]
        early = entry.state == "open" and (entry.count is None or entry.settled < entry.count)
        entry.state = state
        entry.count = entry.count if entry.count is not None else 0
        self._unsettled -= 1
        for waiting in sorted(self._waiting.pop(name, ())):
            hopeless = state == "failed"  # it cannot run any more, whatever else it waits for
            if hopeless or not any(self._entries[n].state in ("waiting", "open") for n in self._entries[waiting].needs):
                heapq.heappush(self._openable, (self._next_order(), waiting))
        for follower in self._followers.get(name, ()):
            if self._entries[follower].state != "open":
                continue
            if state == "skipped" or (state == "failed" and (early or not entry.settled)):
                self._close(follower, state)
            else:
                self._inherit_count(follower)
                self._maybe_settle(follower)
