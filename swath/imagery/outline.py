"""Outlines of a map's objects, exactly along the pixels' sides: tracing by array operations, no loop over objects.

An object is a set of pixels of one value that are connected through their sides (4-connectivity). The map is read in
strips; of each strip only its runs (rows of equal pixels) and its corners (places where an outline turns) are kept. After
the last strip runs are joined to objects and corners to rings. Nothing is ever cut at a strip and merged again, so the
result does not depend on the strips at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

Weigh = Callable[[Ints, Ints, Ints], NDArray[np.float64]]
"""Takes rows, first columns and lengths of runs, gives a number for each."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
_CORNERS = {
    # The 2 x 2 pixels around a grid point, as bits (upper left 1, upper right 2, lower left 4, lower right 8), that belong to
    # the object: how its outline comes in and goes out, with the object on its right hand.
    1: (_DOWN, _LEFT), 2: (_LEFT, _UP), 4: (_RIGHT, _DOWN), 8: (_UP, _RIGHT),
    14: (_RIGHT, _UP), 13: (_DOWN, _RIGHT), 11: (_UP, _LEFT), 7: (_LEFT, _DOWN),
}  # fmt: skip


@dataclass(frozen=True)
class Outlines:
    """Rings of all objects. A ring's points are the pixel corners where it turns; it is not closed by a repeated point."""

    columns: Ints
    """Of each point, from the grid's left side."""
    rows: Ints
    """Of each point, from the grid's upper side."""
    starts: Ints
    """Where each ring begins among the points; one more at the end."""
    owners: Ints
    """The object of each ring, ascending. An object's first ring is its outer one, the others are holes."""
    values: Ints
    """The value of each object. Objects are ordered by their first pixel, row by row."""
    pixels: Ints
    """Number of pixels of each object."""
    weights: NDArray[np.float64]
    """Sum of what `weigh` gave for the runs of each object."""


@dataclass(frozen=True)
class Strip:
    """Some full rows of the map."""

    row: int
    """Of its first row."""
    values: NDArray[np.int16]
    """(rows, columns); -1 where there is no object."""


class Tracer:
    """Takes strips from top to bottom, gives the outlines.

    Memory: the strip, and about 200 bytes for each corner and 60 for each run of the whole map.
    """

    def __init__(self, width: int) -> None:
        self._above: NDArray[np.int16] = np.full((1, width), -1, dtype=np.int16)
        self._above_runs: Ints = np.zeros((1, width), dtype=np.int64)
        self._row = 0
        self._runs = 0
        self._run_parts: list[Ints] = []
        self._link_parts: list[Ints] = []
        self._corner_parts: list[Ints] = []

    def take(self, strip: Strip) -> None:
        """The next rows. They must follow those of the last strip."""
        if strip.row != self._row:
            raise ValueError(f"expected row {self._row}, got {strip.row}")
        values = np.concatenate([self._above, strip.values])
        fresh = np.ones(strip.values.shape, dtype=bool)
        fresh[:, 1:] = strip.values[:, 1:] != strip.values[:, :-1]
        runs = np.cumsum(fresh).reshape(fresh.shape) - 1 + self._runs
        self._keep_runs(strip, fresh)
        runs = np.concatenate([self._above_runs, runs])
        self._keep_links(values, runs)
        self._keep_corners(values, runs)
        self._above, self._above_runs = values[-1:], runs[-1:]
        self._row += len(strip.values)

    def _keep_runs(self, strip: Strip, fresh: NDArray[np.bool_]) -> None:
        rows, columns = np.nonzero(fresh)
        lengths = np.diff(np.append(rows * fresh.shape[1] + columns, fresh.size))
        self._run_parts.append(
            np.stack([rows + strip.row, columns, lengths, strip.values[rows, columns].astype(np.int64)])
        )
        self._runs += len(rows)

    def _keep_links(self, values: NDArray[np.int16], runs: Ints) -> None:
        same = (values[1:] == values[:-1]) & (values[1:] >= 0)
        new = np.ones_like(same)  # once for each pair of runs: where either of them begins
        new[:, 1:] = ~same[:, :-1] | (runs[1:, 1:] != runs[1:, :-1]) | (runs[:-1, 1:] != runs[:-1, :-1])
        at = np.nonzero(same & new)
        self._link_parts.append(np.stack([runs[:-1][at], runs[1:][at]]))

    def _keep_corners(self, values: NDArray[np.int16], runs: Ints) -> None:
        """Corners on the upper side of every row but the first of `values`, which was done before."""
        padded = np.pad(values, ((0, 0), (1, 1)), constant_values=-1)
        around = (padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:])
        busy = np.nonzero((around[0] != around[1]) | (around[0] != around[2]) | (around[0] != around[3]))
        four = [each[busy] for each in around]
        padded_runs = np.pad(runs, ((0, 0), (1, 1)), constant_values=-1)
        shifts = ((0, 0), (0, 1), (1, 0), (1, 1))
        owners = [padded_runs[busy[0] + down, busy[1] + along] for down, along in shifts]
        rows, columns = busy[0] + self._row, busy[1]
        for first in range(4):
            bits = sum((four[k] == four[first]).astype(np.int64) << k for k in range(4))
            # Each set of equal pixels is taken once, through its first pixel. Two that touch at the point only are two corners.
            diagonal = (bits == 0b1001) | (bits == 0b0110)
            lone = np.where(diagonal, 1 << first, bits)
            leads = diagonal | (bits & ((1 << first) - 1) == 0)
            for shape, (incoming, outgoing) in _CORNERS.items():
                at = np.nonzero((lone == shape) & leads & (four[first] >= 0))[0]
                if at.size:
                    across = np.where(diagonal[at], owners[3 - first][at], -1)
                    kind = np.full(at.size, incoming * 4 + outgoing)
                    self._corner_parts.append(np.stack([rows[at], columns[at], owners[first][at], kind, across]))

    def finish(self, weigh: Weigh) -> Outlines:
        """Everything that was found. `weigh` gives each run a number, which is summed over each object."""
        width = self._above.shape[1]
        self.take(Strip(self._row, np.full((1, width), -1, dtype=np.int16)))  # closes what reaches the lower edge
        rows, columns, lengths, values = np.concatenate(self._run_parts, axis=1)
        first = _joined(len(rows), *np.concatenate(self._link_parts, axis=1))
        inside = np.nonzero(values >= 0)[0]
        heads, numbers = np.unique(first[inside], return_inverse=True)
        objects = np.full(len(rows) + 1, -1, dtype=np.int64)  # one more: what is asked for -1 is no object
        objects[inside] = numbers
        weights = weigh(rows[inside], columns[inside], lengths[inside])
        corners = np.concatenate([np.empty((5, 0), dtype=np.int64), *self._corner_parts], axis=1)
        points, starts, owners = _rings(corners, objects, width)
        return Outlines(
            columns=points[1],
            rows=points[0],
            starts=starts,
            owners=owners,
            values=values[heads],
            pixels=np.bincount(numbers, lengths[inside], len(heads)).astype(np.int64),
            weights=np.bincount(numbers, weights, len(heads)).astype(np.float64),
        )


def _joined(count: int, ones: Ints, others: Ints) -> Ints:
    """For each of `count` things the first one that it is linked with, directly or through others."""
    head = np.arange(count)
    while True:
        low, high = np.minimum(head[ones], head[others]), np.maximum(head[ones], head[others])
        apart = np.nonzero(low != high)[0]
        if not apart.size:
            return head
        ones, others = ones[apart], others[apart]
        np.minimum.at(head, high[apart], low[apart])
        while not np.array_equal(further := head[head], head):
            head = further


def _rings(corners: Ints, objects: Ints, width: int) -> tuple[Ints, Ints, Ints]:
    """Follow the corners around: points (row, column) ring after ring, where each ring starts, and its object."""
    corners = corners[:, np.argsort(corners[0] * (width + 1) + corners[1], kind="stable")]
    rows, columns, runs, kinds, across = corners
    owners = objects[runs]
    incoming, outgoing = np.divmod(kinds, 4)
    # Where an object touches itself at a point the outline turns the other way, so that no ring meets itself: the polygons are
    # valid as they are. Where two objects touch at a point each keeps to its own pixel.
    outgoing = np.where(objects[across] == owners, (outgoing + 2) % 4, outgoing)
    following = np.empty(len(rows), dtype=np.int64)
    for directions, line in (((_RIGHT, _LEFT), rows), ((_DOWN, _UP), columns)):
        for direction in directions:
            # An object's sides on one line of the grid do not overlap: the first that begins is the first that ends.
            following[_along(outgoing == direction, owners, line)] = _along(incoming == direction, owners, line)
    leader, position = _ranked(following)
    ring_leaders = np.nonzero(leader == np.arange(len(leader)))[0]
    ring_leaders = ring_leaders[np.argsort(owners[ring_leaders], kind="stable")]  # the first point is on the outer ring
    lengths = np.bincount(leader, minlength=len(leader))[ring_leaders]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    place = np.empty(len(leader), dtype=np.int64)
    place[ring_leaders] = starts[:-1]
    order = np.empty(len(leader), dtype=np.int64)
    order[place[leader] + position] = np.arange(len(leader))
    return corners[:2, order], starts, owners[ring_leaders]


def _along(chosen: NDArray[np.bool_], owners: Ints, line: Ints) -> Ints:
    """The chosen corners by object, then by line, then along the line (their order already)."""
    at = np.nonzero(chosen)[0]
    span = int(line.max(initial=0)) + 1
    return at[np.argsort(owners[at] * span + line[at], kind="stable")]


def _ranked(following: Ints) -> tuple[Ints, Ints]:
    """For each element of a set of cycles its cycle's smallest element, and how many steps it is behind it.

    Steps are doubled each time round, so the number of rounds is the logarithm of the longest cycle.
    """
    leader, jump = np.arange(len(following)), following
    while True:
        leader = np.minimum(leader, leader[jump])
        if np.array_equal(leader, leader[following]):
            break
        jump = jump[jump]
    last = following == leader
    hop = np.where(last, np.arange(len(following)), following)
    left = np.where(last, 0, 1)
    while not np.array_equal(further := hop[hop], hop):
        left = left + left[hop]
        hop = further
    return leader, left[leader] - left
