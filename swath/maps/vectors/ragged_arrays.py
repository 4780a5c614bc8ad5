"""Ragged arrays and linked lists in numpy: lines of points laid end to end, connected components, lists put in order.

None of it loops over elements in Python: there may be millions of lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]

_BATCH_POINTS = 1 << 20


@dataclass(frozen=True)
class Lines:
    """Many lines of points, end to end."""

    points: NDArray[np.int32]
    """(2, points): rows, and twice the columns plus 1 where an object may touch itself."""
    starts: Ints
    """Where each line begins among the points; one more entry for the end."""
    owners: Ints
    """A number for each line: the object, or the run of pixels, that it belongs to."""

    def pick(self, chosen: NDArray[np.bool_]) -> Lines:
        """The chosen lines, in the same order."""
        lengths = np.diff(self.starts)
        points = self.points[:, np.repeat(chosen, lengths)]
        return Lines(points, starts_of(lengths[chosen]), self.owners[chosen])

    def arranged(self, order: Ints) -> Lines:
        """The lines in another order. They are copied in batches, to bound the memory of the indices."""
        lengths = np.diff(self.starts)[order]
        starts = starts_of(lengths)
        points = np.empty_like(self.points)
        for first, last in line_batches(starts):
            gather = ragged_indices(self.starts[:-1][order[first:last]], lengths[first:last])
            points[:, starts[first] : starts[last]] = self.points[:, gather]
        return Lines(points, starts, self.owners[order])


def line_batches(starts: Ints) -> Iterator[tuple[int, int]]:
    """Lines that begin at `starts`, in batches (first, last + 1) of about a million points, or of one line with more."""
    first = 0
    while first < len(starts) - 1:
        last = max(int(np.searchsorted(starts, starts[first] + _BATCH_POINTS, side="right")) - 1, first + 1)
        yield first, last
        first = last


def starts_of(lengths: Ints) -> Ints:
    """Where pieces of these lengths begin, laid end to end; one more entry for the end."""
    result = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=result[1:])
    return result


def ragged_indices(origins: Ints, lengths: Ints, shifts: Ints | None = None) -> Ints:
    """Indices of pieces that begin at `origins`, end to end. With `shifts` each piece is rotated to begin so many later."""
    steps = np.arange(int(lengths.sum()), dtype=np.int64)
    steps -= np.repeat(starts_of(lengths)[:-1], lengths)
    if shifts is not None:
        steps += np.repeat(shifts, lengths)
        steps -= np.where(steps >= (long := np.repeat(lengths, lengths)), long, 0)
    steps += np.repeat(origins, lengths)
    return steps


def connected_components(count: int, ones: Ints, others: Ints) -> Ints:
    """Of each of `count` nodes the lowest node in its component; `ones` and `others` are the two ends of each edge."""
    head = np.arange(count, dtype=np.int32)
    while True:
        ones, others = head[ones], head[others]
        low, high = np.minimum(ones, others), np.maximum(ones, others)
        apart = np.nonzero(low != high)[0]
        if not apart.size:
            return head
        ones, others = low[apart], high[apart]
        np.minimum.at(head, others, ones)
        while not np.array_equal(further := head[head], head):
            head = further


def follow_links(following: Ints) -> tuple[Ints, Ints]:
    """Linked lists in order: the vertices, list after list, and where each list begins among them; one more entry for the end.

    `following` is the next vertex of each vertex. A list is a cycle, or a path; a path ends in a vertex that is its own next, and
    whose number is lower than those of all vertices that are no such ends. A cycle may begin anywhere. Jumps are doubled in each
    round (list ranking by pointer jumping), so there are as many rounds as the length of the longest list has bits.
    """
    count = len(following)
    everything = np.arange(count, dtype=np.int32)
    following = following.astype(np.int32)
    leader, jump = everything, following
    while True:
        lower = np.minimum(leader, leader[jump])
        if np.array_equal(lower, leader):
            break
        leader, jump = lower, jump[jump]
    last = following == leader  # of a cycle, the one before its leader; of a path, its last two
    hop = np.where(last, everything, following)
    left = (~last).astype(np.int32)
    while not np.array_equal(further := hop[hop], hop):
        left += left[hop]
        hop = further
    ends = following == everything
    left[last & ~ends] += ends[following[last & ~ends]]
    left[~last] += ends[following[hop[~last]]]
    leaders = np.nonzero(leader == everything)[0]
    lengths = np.bincount(leader, minlength=count)[leaders]
    starts = starts_of(lengths)
    stops = np.empty(count, dtype=np.int64)
    stops[leaders] = starts[1:]
    order = np.empty(count, dtype=np.int64)
    order[stops[leader] - 1 - left] = everything
    return order, starts
