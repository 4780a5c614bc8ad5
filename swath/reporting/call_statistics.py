"""Statistics of the calls of a session: by node and by worker, slowest calls, failures, timeline. Of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.engine.executors.inline import CLIENT_WORKER
from swath.reporting.failure_groups import FailureGroup, FailureGroups
from swath.reporting.session_calls import CallColumns, SessionCalls, SlowCall
from swath.reporting.timeline import BINS, Timeline, bins, lane_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from swath.engine.journal_rows import CallRow

LANES = 24
"""Workers with a row of their own; the last row is that of all others."""
KINDS = 6
"""Nodes with a colour of their own on the timeline: those that took longest."""
BLOCKS = 400
"""With up to so many calls the timeline has each of them, with more the busy share of each bin."""


@dataclass(frozen=True)
class NodeFacts:
    """Calls of one node. Times are those of calls executed in this session."""

    name: str
    made: int
    """Calls that were executed in this session and succeeded."""
    reused: int
    """Calls whose result existed already."""
    failed: int
    seconds: float
    """Sum of the times over all workers."""
    earlier: int = 0
    """Calls that an earlier session of the same run had finished."""
    retried: int = 0
    """Calls that were executed in this session and took more than one attempt."""
    median_s: float | None = None
    """None without calls."""
    longest_s: float | None = None


@dataclass(frozen=True)
class WorkerFacts:
    """Calls of one worker in this session, or of all workers without a row of their own."""

    name: str
    calls: int
    failed: int
    busy_s: float
    share: float
    """Busy fraction of the time from the first call's start, on any worker, to the last call's end."""
    cpu_share: float | None = None
    """Processor time of the calls divided by their time; above 1 when they use several cores. None when not measured."""
    memory: int | None = None
    """Largest memory of the process in bytes. None when not measured."""


@dataclass(frozen=True)
class CallStatistics:
    """Statistics of a session. Plain values only: the report's JSON has them under the names of these fields."""

    started: float
    """Of this session; seconds since the epoch."""
    finished: float
    made: int
    """Calls that were executed, including those that failed."""
    reused: int
    earlier: int
    """Calls that earlier sessions of the same run had finished."""
    busy: float | None
    """Busy fraction of all workers' time between the first call's start and the last call's end. None without calls."""
    nodes: tuple[NodeFacts, ...] = ()
    """In the order in which they first ended a call."""
    workers: tuple[WorkerFacts, ...] = ()
    slowest: tuple[SlowCall, ...] = ()
    troubles: tuple[FailureGroup, ...] = ()
    """Failures and retries."""
    more_troubles: int = 0
    """Failures and retries in no group."""
    timeline: Timeline | None = None
    """None when no call was executed."""


def summarize_calls(
    calls: Iterable[CallRow], started: float, finished: float, failures: FailureGroups | None = None
) -> CallStatistics:
    """Statistics of one session.

    calls: all calls of the run as the journal has them, read once; memory is 40 bytes a call.
    started, finished: of the session, seconds since the epoch. Calls that ended before belong to earlier sessions.
    failures: retries that were counted while the session ran.
    """
    failures = failures or FailureGroups()
    session = SessionCalls(started)
    for call in calls:
        if call.state == "step":  # an item of a mapped step: its calls have rows of their own
            continue
        session.add(call)
        if call.state in ("failed", "retried") and call.error:
            failures.add(call.node, call.item, call.error, final=call.state == "failed")
    columns = session.columns()
    timeline, workers, busy = _by_worker(session, columns, max(finished - started, 1e-3))
    groups, more = failures.groups()
    return CallStatistics(
        started, finished, len(columns.seconds), sum(each.reused for each in session.counts.values()),
        sum(each.earlier for each in session.counts.values()), busy, _by_node(session, columns), workers, session.slowest(),
        groups, more, timeline,
    )  # fmt: skip


def _by_node(session: SessionCalls, columns: CallColumns) -> tuple[NodeFacts, ...]:
    import numpy as np

    found = []
    for name, counts in sorted(session.counts.items(), key=lambda each: each[1].first_end):
        seconds = columns.seconds[columns.node == session.nodes[name]] if name in session.nodes else columns.seconds[:0]
        executed = len(seconds) > 0
        found.append(
            NodeFacts(
                name, counts.done, counts.reused, counts.failed, float(seconds.sum()), counts.earlier, counts.retried,
                float(np.median(seconds)) if executed else None, float(seconds.max()) if executed else None,
            )
        )  # fmt: skip
    return tuple(found)


def _by_worker(
    session: SessionCalls, columns: CallColumns, span: float
) -> tuple[Timeline | None, tuple[WorkerFacts, ...], float | None]:
    """The timeline, the workers and their busy fraction. span: seconds that the timeline covers."""
    import numpy as np

    if not len(columns.seconds):
        return None, (), None
    kinds, kind_of = _kinds(session, columns)
    workers = sorted(session.workers, key=_natural)
    rows = [(name, [name]) for name in workers[:LANES]]
    if len(workers) > LANES:
        rows[-1:] = [(f"{len(workers) - LANES + 1} others", workers[LANES - 1 :])]
    first = float(max((columns.end - columns.seconds).min(), 0.0))
    active = max(min(float(columns.end.max()), span) - first, 1e-9)
    each = len(columns.seconds) <= BLOCKS
    lanes, facts = [], []
    for name, members in rows:
        calls = columns.select(np.isin(columns.worker, [session.workers[member] for member in members]))
        lanes.append(
            lane_of(name, calls, kind_of, len(kinds), span, list(session.nodes), each=each, width=len(members))
        )
        busy = float(calls.seconds.sum())
        cpu_s = [session.cpu_s[member] for member in members if member in session.cpu_s]
        memory = [session.memory[member] for member in members if member in session.memory]
        facts.append(
            WorkerFacts(
                name, len(calls.seconds), int(calls.failed.sum()), busy, min(busy / active / len(members), 1.0),
                sum(cpu_s) / busy if cpu_s and busy > 0 else None, max(memory, default=None),
            )
        )  # fmt: skip
    reused = np.bincount(bins(np.frombuffer(session.reused_at, np.float64), span), minlength=BINS)
    timeline = Timeline(span / BINS, kinds, tuple(lanes), tuple(reused.tolist()))
    return timeline, tuple(facts), _busy_fraction(session, columns)


def _kinds(session: SessionCalls, columns: CallColumns) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Names of the nodes with a colour of their own, the longest first, and for each node's index its kind."""
    import numpy as np

    names = list(session.nodes)
    totals = np.bincount(columns.node, columns.seconds, len(names))
    order = [int(index) for index in np.argsort(-totals, kind="stable")]
    shown = order if len(order) <= KINDS + 1 else order[:KINDS]
    kind_of = np.full(len(names), len(shown), np.int32)
    kind_of[shown] = np.arange(len(shown))
    others = (f"{len(order) - len(shown)} others",) if len(shown) < len(order) else ()
    return (*(names[index] for index in shown), *others), kind_of


def _busy_fraction(session: SessionCalls, columns: CallColumns) -> float:
    """Busy fraction of the workers' time, without the client's own process where there are others."""
    count = len(session.workers)
    if CLIENT_WORKER in session.workers and count > 1:
        columns, count = columns.select(columns.worker != session.workers[CLIENT_WORKER]), count - 1
    span = float(columns.end.max() - max((columns.end - columns.seconds).min(), 0.0))
    return min(float(columns.seconds.sum()) / max(span, 1e-9) / count, 1.0)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key that puts worker 9 before worker 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
