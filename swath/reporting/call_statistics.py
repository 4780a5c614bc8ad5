"""The account of a run's calls: who was busy when, what took long, what went wrong; bounded, however many calls there were."""

from __future__ import annotations

import heapq
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swath.engine.executors.inline import CLIENT_WORKER as CLIENT_NAME
from swath.events import CallRetried, Event
from swath.reporting.timeline import BINS, TimedCalls, Timeline, bins, lane_of

if TYPE_CHECKING:
    from swath.engine.journal_rows import CallRow

LANES = 24
"""Workers that are told one by one; the rest is told together."""
KINDS = 6
"""Nodes that are told apart on the timeline: those that took longest."""
BLOCKS = 400
"""Up to so many calls the timeline has each of them, else the busy share of each bin."""
SLOWEST = 10
TROUBLES = 50
"""Reasons of failures that are told one by one."""
_REASON = 400
"""Characters of a reason."""


@dataclass(frozen=True)
class NodeFacts:
    """What became of the calls of one node."""

    name: str
    made: int
    """Calls that were made in this session and succeeded."""
    reused: int
    """Calls whose result was there already."""
    failed: int
    seconds: float
    """Sum of the times of the calls that were made in this session, over all workers."""
    earlier: int = 0
    """Calls that an earlier session of the same run had finished."""
    retried: int = 0
    """Calls that were made in this session and took more than one attempt."""
    median_s: float | None = None
    """Of the calls that were made in this session; None when there is none."""
    longest_s: float | None = None


@dataclass(frozen=True)
class WorkerFacts:
    """What one worker did in this session, or all that are not told one by one."""

    name: str
    calls: int
    failed: int
    busy_s: float
    share: float
    """Busy part of the time from the first call's start, of any worker, to the last one's end."""
    cpu_share: float | None = None
    """Processor time of the calls by their time; above 1 when they use several cores. None when it was not measured."""
    memory: int | None = None
    """Largest memory that the process had, in bytes. None when it was not measured."""


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


@dataclass(frozen=True)
class FailureGroup:
    """Calls of a node that failed, or were tried again, for the same reason but for its numbers."""

    node: str
    item: int | None
    """Of the first of them."""
    final: bool
    """Whether they failed for good."""
    count: int
    reason: str
    """Of the first of them."""


@dataclass(frozen=True)
class CallStatistics:
    """What a run's calls came to in one session. Plain values only."""

    started: float
    """Of this session; seconds since the epoch."""
    finished: float
    made: int
    """Calls that were made, with those that failed."""
    reused: int
    earlier: int
    """Calls that earlier sessions of the same run had finished."""
    busy: float | None
    """Busy part of all workers' time between the first call's start and the last one's end. None when no call was made."""
    nodes: tuple[NodeFacts, ...] = ()
    workers: tuple[WorkerFacts, ...] = ()
    slowest: tuple[SlowCall, ...] = ()
    troubles: tuple[FailureGroup, ...] = ()
    more_troubles: int = 0
    """Failures and new attempts for still other reasons."""
    timeline: Timeline | None = None
    """None when no call was made."""


class FailureGroups:
    """Counts failures and new attempts by node and reason. As a listener of events it hears of the attempts that failed:
    the journal keeps only how a call ended."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool, str], tuple[int, int | None, str]] = {}
        self._more = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, CallRetried):
            self.add(event.node, event.item, event.error, final=False)

    def add(self, node: str, item: int | None, reason: str, *, final: bool) -> None:
        reason = reason[:_REASON]
        key = (node, final, re.sub(r"\d+", "0", reason.partition("\n")[0]))
        if key in self._found:
            count, first, said = self._found[key]
            self._found[key] = (count + 1, first, said)
        elif len(self._found) < TROUBLES:
            self._found[key] = (1, item, reason)
        else:
            self._more += 1

    def told(self) -> tuple[tuple[FailureGroup, ...], int]:
        """What was counted, failures first and then by number; and how much was for still other reasons."""
        all_ = [FailureGroup(node, item, final, n, said) for (node, final, _), (n, item, said) in self._found.items()]
        return tuple(sorted(all_, key=lambda each: (not each.final, -each.count))), self._more


def account(
    calls: Iterable[CallRow], started: float, finished: float, troubles: FailureGroups | None = None
) -> CallStatistics:
    """The account of a session.

    calls: all calls of the run, as the journal has them; gone through once, 40 bytes of each are held.
    started, finished: the session's, seconds since the epoch. What ended before is an earlier session's.
    troubles: what was heard of attempts that failed.
    """
    troubles = troubles or FailureGroups()
    columns = _Columns(started)
    for call in calls:
        if call.state == "step":  # no call: an item of a mapped step, whose calls are told
            continue
        columns.add(call)
        if call.state in ("failed", "retried") and call.error:
            troubles.add(call.node, call.item, call.error, final=call.state == "failed")
    made = columns.arrays()
    timeline, workers, busy = _timeline(columns, made, max(finished - started, 1e-3))
    told, more = troubles.told()
    return CallStatistics(
        started, finished, len(made.seconds), sum(each.reused for each in columns.counts.values()),
        sum(each.earlier for each in columns.counts.values()), busy, _nodes(columns, made), workers, columns.slow(), told, more,
        timeline,
    )  # fmt: skip


@dataclass
class _Counts:
    done: int = 0
    reused: int = 0
    failed: int = 0
    earlier: int = 0
    retried: int = 0
    first: float = float("inf")


@dataclass
class _Columns:
    """Collects calls."""

    started: float
    counts: dict[str, _Counts] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    """Processor time by worker, where it was measured."""
    memory: dict[str, int] = field(default_factory=dict)
    reused_at: array[float] = field(default_factory=lambda: array("d"))
    _numbers: tuple[array[int], array[int], array[int], array[int]] = field(
        default_factory=lambda: (array("i"), array("q"), array("i"), array("b"))
    )
    _times: tuple[array[float], array[float]] = field(default_factory=lambda: (array("d"), array("d")))
    _heap: list[tuple[float, int, SlowCall]] = field(default_factory=list)

    def add(self, call: CallRow) -> None:
        counts = self.counts.get(call.node)
        if counts is None:
            counts = self.counts[call.node] = _Counts()
        if call.finished is None:
            return
        counts.first = min(counts.first, call.finished)
        if call.state == "reused" and call.finished >= self.started:
            counts.reused += 1
            self.reused_at.append(call.finished - self.started)
            return
        if call.finished < self.started:
            counts.earlier += call.state != "failed"
            counts.failed += call.state == "failed"
            return
        failed = call.state in ("failed", "retried")
        counts.done += call.state == "done"
        counts.failed += call.state == "failed"
        counts.retried += call.attempt > 1
        seconds, end = call.seconds or 0.0, call.finished - self.started
        node, item, worker, fault = self._numbers
        node.append(self.nodes.setdefault(call.node, len(self.nodes)))
        item.append(-1 if call.item is None else call.item)
        worker.append(self.workers.setdefault(call.worker, len(self.workers)))
        fault.append(failed)
        self._times[0].append(end)
        self._times[1].append(seconds)
        if call.cpu_s is not None:
            self.cpu[call.worker] = self.cpu.get(call.worker, 0.0) + call.cpu_s
        if call.memory is not None and call.memory > self.memory.get(call.worker, 0):
            self.memory[call.worker] = call.memory
        if len(self._heap) < SLOWEST or seconds > self._heap[0][0]:
            slow = SlowCall(call.node, call.item, call.worker, max(end - seconds, 0.0), seconds, call.state)
            push = heapq.heappush if len(self._heap) < SLOWEST else heapq.heapreplace
            push(self._heap, (seconds, -len(node), slow))

    def slow(self) -> tuple[SlowCall, ...]:
        return tuple(slow for *_, slow in sorted(self._heap, key=lambda each: each[:2], reverse=True))

    def arrays(self) -> TimedCalls:
        import numpy as np

        node, item, worker, fault = self._numbers
        return TimedCalls(
            np.frombuffer(node, np.int32), np.frombuffer(item, np.int64), np.frombuffer(worker, np.int32),
            np.frombuffer(self._times[0], np.float64), np.frombuffer(self._times[1], np.float64),
            np.frombuffer(fault, np.int8).astype(np.bool_),
        )  # fmt: skip


def _nodes(columns: _Columns, made: TimedCalls) -> tuple[NodeFacts, ...]:
    """By node, in the order in which they first ended a call."""
    import numpy as np

    found = []
    for name, counts in sorted(columns.counts.items(), key=lambda each: each[1].first):
        seconds = made.seconds[made.node == columns.nodes[name]] if name in columns.nodes else made.seconds[:0]
        some = len(seconds) > 0
        found.append(
            NodeFacts(
                name, counts.done, counts.reused, counts.failed, float(seconds.sum()), counts.earlier, counts.retried,
                float(np.median(seconds)) if some else None, float(seconds.max()) if some else None,
            )
        )  # fmt: skip
    return tuple(found)


def _timeline(
    columns: _Columns, made: TimedCalls, span: float
) -> tuple[Timeline | None, tuple[WorkerFacts, ...], float | None]:
    import numpy as np

    if not len(made.seconds):
        return None, (), None
    totals = np.bincount(made.node, made.seconds, len(columns.nodes))
    names = list(columns.nodes)
    order = [int(index) for index in np.argsort(-totals, kind="stable")]
    kept = order if len(order) <= KINDS + 1 else order[:KINDS]
    kind_of = np.full(len(names), len(kept), np.int32)
    kind_of[kept] = np.arange(len(kept))
    kinds = tuple(names[index] for index in kept) + (
        (f"{len(order) - len(kept)} others",) if len(kept) < len(order) else ()
    )

    workers = sorted(columns.workers, key=_natural)
    groups = [(name, [name]) for name in workers[:LANES]]
    if len(workers) > LANES:
        groups[-1:] = [(f"{len(workers) - LANES + 1} others", workers[LANES - 1 :])]
    first = float(max((made.end - made.seconds).min(), 0.0))
    active = max(min(float(made.end.max()), span) - first, 1e-9)
    lanes, facts = [], []
    for name, members in groups:
        its = made.of(np.isin(made.worker, [columns.workers[member] for member in members]))
        lanes.append(
            lane_of(name, its, kind_of, len(kinds), span, names, each=len(made.seconds) <= BLOCKS, width=len(members))
        )
        busy = float(its.seconds.sum())
        measured = [columns.cpu[member] for member in members if member in columns.cpu]
        memory = [columns.memory[member] for member in members if member in columns.memory]
        facts.append(
            WorkerFacts(
                name, len(its.seconds), int(its.failed.sum()), busy, min(busy / active / len(members), 1.0),
                sum(measured) / busy if measured and busy > 0 else None, max(memory, default=None),
            )
        )  # fmt: skip
    reused = np.bincount(bins(np.frombuffer(columns.reused_at, np.float64), span), minlength=BINS)
    return Timeline(span / BINS, kinds, tuple(lanes), tuple(reused.tolist())), tuple(facts), _whole(columns, made)


def _whole(columns: _Columns, made: TimedCalls) -> float:
    """Busy part of the workers' time; the client's own process is no worker where there are others."""
    count = len(columns.workers)
    if CLIENT_NAME in columns.workers and count > 1:
        made, count = made.of(made.worker != columns.workers[CLIENT_NAME]), count - 1
    passed = float(made.end.max() - max((made.end - made.seconds).min(), 0.0))
    return min(float(made.seconds.sum()) / max(passed, 1e-9) / count, 1.0)


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts worker 9 before worker 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
