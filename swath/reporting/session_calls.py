"""The calls of a session in columns, 40 bytes each, with counts by node: what the report's statistics are computed from."""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from swath.engine.journal_rows import CallRow

SLOWEST = 10
"""Calls that are listed as the slowest."""


@dataclass(frozen=True)
class CallColumns:
    """Calls that were executed in a session, as arrays of equal length, in the order of the journal."""

    node: NDArray[np.int32]
    """Index of the node."""
    item: NDArray[np.int64]
    """Index of the item; -1 of a single call."""
    worker: NDArray[np.int32]
    """Index of the worker."""
    end: NDArray[np.float64]
    """Seconds after the session's start."""
    seconds: NDArray[np.float64]
    """Duration."""
    failed: NDArray[np.bool_]
    """Failed for good, or retried."""

    def select(self, chosen: Any) -> CallColumns:
        """Some of the calls. chosen: a mask or an array of indices."""
        return CallColumns(
            self.node[chosen], self.item[chosen], self.worker[chosen], self.end[chosen], self.seconds[chosen], self.failed[chosen]
        )  # fmt: skip


@dataclass(frozen=True)
class SlowCall:
    """One of the calls that took longest."""

    node: str
    item: int | None
    worker: str
    start_s: float
    """After the session's start."""
    seconds: float
    state: str


@dataclass
class NodeCounts:
    """Calls of one node by how they ended; `earlier` ones ended in an earlier session."""

    done: int = 0
    reused: int = 0
    failed: int = 0
    earlier: int = 0
    retried: int = 0
    first_end: float = float("inf")
    """End of the first call, seconds since the epoch."""


@dataclass
class SessionCalls:
    """Collects the calls of a run, of which one session is of interest."""

    started: float
    """Of the session, seconds since the epoch."""
    counts: dict[str, NodeCounts] = field(default_factory=dict)
    """By node."""
    nodes: dict[str, int] = field(default_factory=dict)
    """Index of each node in the columns."""
    workers: dict[str, int] = field(default_factory=dict)
    """Index of each worker in the columns."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """Processor time by worker, where it was measured."""
    memory: dict[str, int] = field(default_factory=dict)
    """Largest memory by worker in bytes, where it was measured."""
    reused_at: array[float] = field(default_factory=lambda: array("d"))
    """Times at which results were reused, in seconds after the session's start."""
    _indices: tuple[array[int], array[int], array[int], array[int]] = field(
        default_factory=lambda: (array("i"), array("q"), array("i"), array("b"))
    )
    """Node, item, worker, failed."""
    _times: tuple[array[float], array[float]] = field(default_factory=lambda: (array("d"), array("d")))
    """End, seconds."""
    _slowest: list[tuple[float, int, SlowCall]] = field(default_factory=list)
    """A heap with the fastest of the slowest calls on top."""

    def add(self, call: CallRow) -> None:
        """Add one call of the journal."""
        counts = self.counts.get(call.node)
        if counts is None:
            counts = self.counts[call.node] = NodeCounts()
        if call.finished is None:
            return
        counts.first_end = min(counts.first_end, call.finished)
        if call.state == "reused" and call.finished >= self.started:
            counts.reused += 1
            self.reused_at.append(call.finished - self.started)
            return
        if call.finished < self.started:
            counts.earlier += call.state != "failed"
            counts.failed += call.state == "failed"
            return
        counts.done += call.state == "done"
        counts.failed += call.state == "failed"
        counts.retried += call.attempt > 1
        self._append(call, call.finished - self.started)

    def _append(self, call: CallRow, end: float) -> None:
        seconds = call.seconds or 0.0
        node, item, worker, failed = self._indices
        node.append(self.nodes.setdefault(call.node, len(self.nodes)))
        item.append(-1 if call.item is None else call.item)
        worker.append(self.workers.setdefault(call.worker, len(self.workers)))
        failed.append(call.state in ("failed", "retried"))
        self._times[0].append(end)
        self._times[1].append(seconds)
        if call.cpu_s is not None:
            self.cpu_s[call.worker] = self.cpu_s.get(call.worker, 0.0) + call.cpu_s
        if call.memory is not None and call.memory > self.memory.get(call.worker, 0):
            self.memory[call.worker] = call.memory
        if len(self._slowest) < SLOWEST or seconds > self._slowest[0][0]:
            slow = SlowCall(call.node, call.item, call.worker, max(end - seconds, 0.0), seconds, call.state)
            push = heapq.heappush if len(self._slowest) < SLOWEST else heapq.heapreplace
            push(self._slowest, (seconds, -len(node), slow))

    def slowest(self) -> tuple[SlowCall, ...]:
        """The slowest calls, the slowest first."""
        return tuple(slow for *_, slow in sorted(self._slowest, key=lambda each: each[:2], reverse=True))

    def columns(self) -> CallColumns:
        """The executed calls as arrays."""
        import numpy as np

        node, item, worker, failed = self._indices
        return CallColumns(
            np.frombuffer(node, np.int32), np.frombuffer(item, np.int64), np.frombuffer(worker, np.int32),
            np.frombuffer(self._times[0], np.float64), np.frombuffer(self._times[1], np.float64),
            np.frombuffer(failed, np.int8).astype(np.bool_),
        )  # fmt: skip
