"""Timeline of a session: for each worker the busy fraction of time bins, or each call when there are few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.reporting.session_calls import CallColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 180
"""Time bins of equal length that a session is divided into."""


@dataclass(frozen=True)
class TimelineCall:
    """One call on the timeline. Times are seconds after the session's start."""

    start_s: float
    end_s: float
    kind: int
    """Index into the timeline's kinds."""
    node: str
    item: int | None
    failed: bool


@dataclass(frozen=True)
class WorkerLane:
    """The row of one worker on the timeline."""

    name: str
    busy: tuple[tuple[float, ...], ...]
    """For each kind and bin: the fraction of the bin's time, 0 to 1."""
    failed: tuple[int, ...]
    """For each bin: calls that failed at its end or within it."""
    blocks: tuple[TimelineCall, ...] = ()
    """Each call, when there are few; else empty."""


@dataclass(frozen=True)
class Timeline:
    """When each worker was busy, and with which node."""

    bin_s: float
    kinds: tuple[str, ...]
    """Nodes, the one that took longest first; the last may be all others together."""
    lanes: tuple[WorkerLane, ...]
    reused: tuple[int, ...]
    """For each bin: calls whose result existed already."""


def lane_of(
    name: str,
    calls: CallColumns,
    kind_of: NDArray[np.int32],
    kinds: int,
    span: float,
    names: list[str],
    *,
    each: bool,
    width: int,
) -> WorkerLane:
    """The row of a worker.

    calls: its calls. kind_of: kind of each node's index, (nodes,). kinds: number of kinds. span: seconds of the
    timeline. names: of the nodes. each: whether to list every call. width: number of workers in the row.
    """
    import numpy as np

    calls = calls.select(np.argsort(calls.end, kind="stable"))
    start, end, sequential = _one_after_the_other(calls.end, calls.seconds)
    kind = kind_of[calls.node]
    edges = np.linspace(0.0, span, BINS + 1)
    busy = np.array([_busy(start[kind == k], end[kind == k], edges) for k in range(kinds)]) / (span / BINS)
    most = max(1.0, float(busy.sum(axis=0).max()))
    busy = np.clip(busy / most, 0.0, 1.0)
    failed = np.bincount(bins(end[calls.failed], span), minlength=BINS)
    blocks: tuple[TimelineCall, ...] = ()
    if each and sequential and width == 1:
        blocks = tuple(
            TimelineCall(round(s, 4), round(e, 4), k, names[n], None if i < 0 else i, f)
            for s, e, k, n, i, f in zip(
                start.tolist(), end.tolist(), kind.tolist(), calls.node.tolist(), calls.item.tolist(), calls.failed.tolist(),
                strict=True,
            )
        )  # fmt: skip
    rounded = tuple(tuple(round(value, 3) for value in row) for row in busy.tolist())
    return WorkerLane(name, rounded, tuple(failed.tolist()), blocks)


def _one_after_the_other(
    end: NDArray[np.float64], seconds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Starts and ends of a worker's calls, sorted by end, and whether they can have run one after the other.

    The end of a call is recorded when the client receives its batch, so several calls have the same end. Calls that
    overlap are moved back, each to the start of the next, unless that is more than one worker could have done.
    """
    import numpy as np

    before = np.concatenate(([0.0], np.cumsum(seconds)))
    latest = np.minimum.accumulate((end - before[1:])[::-1])[::-1]
    start = before[:-1] + latest
    if start[0] < -0.05 * max(float(end[-1]), 1.0):
        return np.maximum(end - seconds, 0.0), end, False
    return np.maximum(start, 0.0), np.maximum(start + seconds, 0.0), True


def _busy(start: NDArray[np.float64], end: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Busy seconds within each bin: the difference of the time that all calls had spent at its two edges."""
    import numpy as np

    def passed(times: NDArray[np.float64]) -> NDArray[np.float64]:
        times = np.sort(times)
        sums = np.concatenate(([0.0], np.cumsum(times)))
        count = np.searchsorted(times, edges)
        return np.asarray(count * edges - sums[count], np.float64)

    return np.maximum(np.diff(passed(start) - passed(end)), 0.0)


def bins(times: NDArray[np.float64], span: float) -> NDArray[np.int64]:
    """Bin of each time, in seconds after the session's start."""
    import numpy as np

    return np.clip((times / span * BINS).astype(np.int64), 0, BINS - 1)
