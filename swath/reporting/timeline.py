"""Who was busy when in a session: the calls that it made, in columns, as lanes of bins. Bounded, however many calls there were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 180
"""Parts into which the time of a session is divided."""


@dataclass(frozen=True)
class TimedCalls:
    """Calls that were made in this session, in columns. Times are seconds after its start."""

    node: NDArray[np.int32]
    item: NDArray[np.int64]
    worker: NDArray[np.int32]
    end: NDArray[np.float64]
    seconds: NDArray[np.float64]
    failed: NDArray[np.bool_]

    def of(self, chosen: Any) -> TimedCalls:
        return TimedCalls(
            self.node[chosen], self.item[chosen], self.worker[chosen], self.end[chosen], self.seconds[chosen], self.failed[chosen]
        )  # fmt: skip


@dataclass(frozen=True)
class TimelineCall:
    """One call on the timeline. Times are seconds after the session's start."""

    start_s: float
    end_s: float
    kind: int
    """Which of the timeline's kinds."""
    node: str
    item: int | None
    failed: bool


@dataclass(frozen=True)
class WorkerLane:
    """One worker's line on the timeline."""

    name: str
    busy: tuple[tuple[float, ...], ...]
    """For each kind and bin: the part of the bin's time, 0 to 1."""
    failed: tuple[int, ...]
    """For each bin: calls that failed at its end or within it."""
    blocks: tuple[TimelineCall, ...] = ()
    """Each call, when there are few."""


@dataclass(frozen=True)
class Timeline:
    """Who was busy when in this session."""

    bin_s: float
    kinds: tuple[str, ...]
    """Nodes that are told apart, the one that took longest first; the last may stand for all others."""
    lanes: tuple[WorkerLane, ...]
    reused: tuple[int, ...]
    """For each bin: calls whose result was found."""


def lane_of(
    name: str,
    its: TimedCalls,
    kind_of: NDArray[np.int32],
    kinds: int,
    span: float,
    names: list[str],
    *,
    each: bool,
    width: int,
) -> WorkerLane:
    import numpy as np

    its = its.of(np.argsort(its.end, kind="stable"))
    start, end, alone = _laid(its.end, its.seconds)
    kind = kind_of[its.node]
    edges = np.linspace(0.0, span, BINS + 1)
    busy = np.array([_busy(start[kind == k], end[kind == k], edges) for k in range(kinds)]) / (span / BINS)
    most = max(1.0, float(busy.sum(axis=0).max()))
    busy = np.clip(busy / most, 0.0, 1.0)
    failed = np.bincount(bins(end[its.failed], span), minlength=BINS)
    blocks: tuple[TimelineCall, ...] = ()
    if each and alone and width == 1:
        blocks = tuple(
            TimelineCall(round(s, 4), round(e, 4), k, names[n], None if i < 0 else i, f)
            for s, e, k, n, i, f in zip(
                start.tolist(), end.tolist(), kind.tolist(), its.node.tolist(), its.item.tolist(), its.failed.tolist(), strict=True
            )
        )  # fmt: skip
    rounded = tuple(tuple(round(value, 3) for value in row) for row in busy.tolist())
    return WorkerLane(name, rounded, tuple(failed.tolist()), blocks)


def _laid(
    end: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Starts and ends of a worker's calls, sorted by end, and whether they can be one after the other.

    A call's end is written down when the client hears of it, several at once when they came as a batch. So calls
    that overlap are moved back, each to the start of its follower, unless that is more than one worker could do.
    """
    import numpy as np

    before = np.concatenate(([0.0], np.cumsum(seconds)))
    latest = np.minimum.accumulate((end - before[1:])[::-1])[::-1]
    start = before[:-1] + latest
    if start[0] < -0.05 * max(float(end[-1]), 1.0):
        return np.maximum(end - seconds, 0.0), end, False
    return np.maximum(start, 0.0), np.maximum(start + seconds, 0.0), True


def _busy(start: NDArray[np.float64], end: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds within each bin: of each edge, how much time all calls had spent until then."""
    import numpy as np

    def passed(times: NDArray[np.float64]) -> NDArray[np.float64]:
        times = np.sort(times)
        sums = np.concatenate(([0.0], np.cumsum(times)))
        count = np.searchsorted(times, edges)
        return np.asarray(count * edges - sums[count], np.float64)

    return np.maximum(np.diff(passed(start) - passed(end)), 0.0)


def bins(times: NDArray[np.float64], span: float) -> NDArray[np.int64]:
    import numpy as np

    return np.clip((times / span * BINS).astype(np.int64), 0, BINS - 1)
