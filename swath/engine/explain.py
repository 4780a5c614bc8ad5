"""Why a run would make its calls, or not: the engine goes through a graph, and of what is not finished makes nothing.

Only tasks that look at the outside world before every run (`cache=False` and `on_client`) are made, because what they find
decides about the rest. Nothing is journalled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swath.engine.batch_queue import BatchQueue
from swath.engine.call import Call, CallOutcome
from swath.engine.code_hash import code_fingerprint
from swath.engine.engine import Engine
from swath.engine.executors.inline import InlineExecutor
from swath.engine.journal import Journal
from swath.engine.journal_rows import NodeRow
from swath.engine.recorder import Recorder
from swath.engine.stop import Stop
from swath.engine.store import ResultStore
from swath.engine.stored_result import StoredResult
from swath.graph.collect import collect
from swath.graph.graph import Graph, Node
from swath.graph.task import Task


@dataclass(frozen=True)
class NodeExplanation:
    """What a run would do with one node, and why."""

    node: str
    state: str
    """`finished`: all its calls are; `runs`; `looks`: it is made in every run; `waits`: what it needs runs first, and decides;
    `skipped`; `failed`: a look at the world failed."""
    finished: int
    """Calls whose result is there."""
    runs: int
    """Calls that would be made, as far as they are known."""
    waits: int
    """Items that are known, but not what they will take."""
    why: str

    def to_plain(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return dict(vars(self))


def explain(
    graph: Graph, *, journal: Journal, store: ResultStore, earlier: str | None = None, fresh: bool = False
) -> list[NodeExplanation]:
    """What a run of `graph` would do, node by node. `earlier` is the id of the run to compare with: the last one like it."""
    before = {} if earlier is None else {row.node: row for row in journal.nodes(earlier)}
    return _Explainer(journal, store, fresh=fresh).reasons(graph, before)


@dataclass
class _Seen:
    """What has been seen of a node."""

    finished: int = 0
    runs: int = 0
    without: int = 0
    """Items that ended without a result."""
    looks: bool = False
    row: NodeRow | None = None
    error: str = ""


class _Unwritten(Recorder):
    """The record of a run that is none: in memory, told to nobody."""

    def __init__(self, run: str, journal: Journal) -> None:
        super().__init__(run, journal, lambda event: None)
        self.seen: dict[str, _Seen] = {}
        self._found: dict[str, list[tuple[int, StoredResult]]] = {}

    def of(self, node: str) -> _Seen:
        """What has been seen of a node until now."""
        return self.seen.setdefault(node, _Seen())

    def write(self) -> None:
        """Nothing is written."""

    def results_of(self, node: str) -> Iterable[StoredResult]:
        return [stored for _, stored in sorted(self._found.get(node, ()))]

    def keep(self, node: str, item: int, stored: StoredResult) -> None:
        """A result of an item, for who reads the node as a whole."""
        self._found.setdefault(node, []).append((item, stored))

    def opened(self, row: NodeRow, total: int | None) -> None:
        self.of(row.node)

    def ended(self, row: NodeRow, count: int | None = None) -> None:
        self.of(row.node).row = row

    def reused(self, node: str, item: int | None, key: str) -> None:
        self.of(node).finished += 1

    def failed(
        self, node: str, item: int | None, outcome: CallOutcome, attempt: int = 1, key: str = "", worker: str = ""
    ) -> None:
        self.of(node).error = outcome.error


class _Explainer(Engine):
    """The engine, but a call that is not finished is counted and not made."""

    def __init__(self, journal: Journal, store: ResultStore, *, fresh: bool) -> None:
        # The id is of no run, so that with `fresh` no result is found.
        super().__init__("", journal=journal, store=store, emit=lambda event: None, stop=Stop(), fresh=fresh)
        self._record: _Unwritten = _Unwritten("", journal)
        self._all: dict[str, Node] = {}
        self._fresh = fresh

    def reasons(self, graph: Graph, before: dict[str, NodeRow]) -> list[NodeExplanation]:
        """Go through the graph; then say what was seen, in the order of the graph."""
        self.execute(graph, InlineExecutor(self._record.said, self._stop))
        return [
            self._reason(node, self._record.of(name), before)
            for name, node in self._all.items()
            if isinstance(node.target, Task) and node.target is not collect
        ]

    # --- what is different from a run

    def _take(self, graph: Graph, prefix: str, depth: int) -> tuple[str, list[str]]:
        holder, names = super()._take(graph, prefix, depth)
        self._all.update({name: self._values.nodes[name] for name in names})
        return holder, names

    def _hopeless(self, result: str) -> bool:
        return False

    def _make(self, call: Call, group: BatchQueue) -> None:
        node, policy = call.common.node, call.common.task.policy
        if policy.on_client and not policy.cache:
            self._record.of(node).looks = True
            super()._make(call, group)
            return
        self._record.of(node).runs += 1
        self._same.pop(call.key, None)
        self._end_item(node, call.item, None)

    def _end_item(self, name: str, item: int, result: StoredResult | None) -> None:
        if result is None:
            self._record.of(name).without += 1
        else:
            self._record.keep(name, item, result)
        super()._end_item(name, item, result)

    # --- what is said

    def _reason(self, node: Node, seen: _Seen, before: dict[str, NodeRow]) -> NodeExplanation:
        waits = seen.without - seen.runs
        row = seen.row
        if seen.error:
            state, why = "failed", seen.error
        elif row is not None and row.state == "skipped":
            state, why = "skipped", "its condition is false, or what it needs is skipped"
        elif seen.looks:
            state, why = "looks", "it looks at the outside world in every run"
        elif seen.runs:
            state, why = "runs", self._why(node, seen, before.get(node.name), known=bool(before))
        elif waits or row is None or row.state == "failed":
            needs = ", ".join(name for name in node.needs if self._unfinished(name))
            state, why = "waits", f"it takes what {needs or 'is made'} will give"
            if (old := before.get(node.name)) is not None and old.code and old.code != self._code_of(node):
                why += "; its code changed"
        else:
            state, why = "finished", "its results are those of an earlier run"
        return NodeExplanation(
            node.name, state, seen.finished, seen.runs, max(0, waits) if state != "failed" else 0, why
        )

    def _unfinished(self, name: str) -> bool:
        seen = self._record.of(name)
        return bool(seen.without) or seen.row is None or seen.row.state == "failed"

    def _code_of(self, node: Node) -> str:
        return code_fingerprint(node.target.fn)

    def _why(self, node: Node, seen: _Seen, old: NodeRow | None, *, known: bool) -> str:
        row = seen.row
        if self._fresh:
            return "--fresh"
        if isinstance(node.target, Task) and not node.target.policy.cache:
            return "it runs in every run (cache=False)"
        if old is None or row is None:
            return "it has not run before" if known else "there is no earlier run like this one"
        if old.code != row.code:
            return "its code changed"
        if old.version != row.version:
            return f"its version changed from {old.version!r} to {row.version!r}"
        if old.shared and old.shared != row.shared:
            return "its arguments changed"
        if seen.finished:
            return "these items are new, or their results are gone"
        return "its arguments changed, or its results are gone"
