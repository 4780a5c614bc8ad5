"""Traces the outlines of a map's objects along the sides of their pixels, with array operations and strip by strip.

An object is a set of pixels of one value that are connected through their sides (4-connectivity). The map comes in strips from
top to bottom; an object is given out whole as soon as a strip does not reach it any more. Between strips only what is still open is
kept: the points of outlines that continue below, and the closed rings of objects that continue below.

Where an object touches itself at a point, its outline is first traced as if the two pixels there were of different objects: so
a strip can be traced without knowing what is connected further down. When the object is complete, rings that touch themselves at a
point are split there: the polygons are valid as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swath.maps.vectors.outlines import Floats, OutlinedObjects, Outlines, collect_outlines, rotate_rings, split_rings
from swath.maps.vectors.ragged_arrays import Ints, Lines, connected_components, follow_links, ragged_indices, starts_of

Weigh = Callable[[Ints, Ints, Ints], Floats]
"""A function of the rows, first columns and lengths of runs of pixels that gives a weight for each run. Whole numbers, so that sums
do not depend on the order in which they are added; or NaN."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
_NONE = 255
_CORNERS = {
    # Which of the 2 x 2 pixels around a grid point belong to the object, as bits (upper left 1, upper right 2, lower left 4, lower
    # right 8): the directions in which its outline enters and leaves the point, with the object on the right-hand side.
    1: (_DOWN, _LEFT), 2: (_LEFT, _UP), 4: (_RIGHT, _DOWN), 8: (_UP, _RIGHT),
    14: (_RIGHT, _UP), 13: (_DOWN, _RIGHT), 11: (_UP, _LEFT), 7: (_LEFT, _DOWN),
}  # fmt: skip
_STRAIGHT = {3: (_LEFT, _LEFT), 12: (_RIGHT, _RIGHT), 5: (_DOWN, _DOWN), 10: (_UP, _UP)}


def _kinds(shapes: dict[int, tuple[int, int]]) -> NDArray[np.uint8]:
    table = np.full(16, _NONE, dtype=np.uint8)
    for bits, (incoming, outgoing) in shapes.items():
        table[bits] = incoming * 4 + outgoing
    return table


_TURNS, _STRAIGHTS = _kinds(_CORNERS), _kinds(_STRAIGHT)


@dataclass(frozen=True)
class Strip:
    """Consecutive full rows of the map."""

    row: int
    """Number of its first row in the map."""
    values: NDArray[np.int16]
    """int16 (rows, columns); -1 where there is no object."""


@dataclass(frozen=True)
class _Corners:
    """Grid points where outlines turn, in row-major order."""

    points: NDArray[np.int32]
    """As in Lines."""
    nodes: Ints
    """A node of the object: a run of its pixels, or the object from above."""
    incoming: NDArray[np.uint8]
    outgoing: NDArray[np.uint8]


class Tracer:
    """Traces a map strip by strip, from top to bottom, and gives the objects that are complete.

    Memory: about 40 bytes for each pixel of a strip and 100 for each of its corners; 8 bytes for each corner of the objects that
    continue below it; and some 60 for each corner of the objects that end in one strip. The result does not depend on the strips.

    With `noded`, an outline also has a point where its neighbour changes, so that two objects have the same points along the
    border that they share.
    """

    def __init__(self, width: int, weigh: Weigh, *, noded: bool = False) -> None:
        self._weigh = weigh
        self._noded = noded
        self._row = 0
        nothing = np.empty(0, dtype=np.int64)
        self._above: NDArray[np.int16] = np.full((1, width), -1, dtype=np.int16)
        self._above_objects = np.full((1, width), -1, dtype=np.int32)
        self._open = OutlinedObjects(nothing, nothing, nothing, nothing, np.empty(0))
        self._chains = Lines(np.empty((2, 0), dtype=np.int32), np.zeros(1, dtype=np.int64), nothing)
        self._ends = np.empty((2, 0), dtype=np.int64)
        """(2, chains): the columns where each chain enters from below, and where it leaves downwards."""
        self._rings: list[Lines] = []

    def finish(self) -> Outlines:
        """The objects that reach the lower edge of the map."""
        return self.add(Strip(self._row, np.full((1, self._above.shape[1]), -1, dtype=np.int16)))

    def add(self, strip: Strip) -> Outlines:
        """Trace the next rows, which must follow those of the last strip. Gives the objects that do not reach the last of them.
        Raises ValueError for other rows."""
        if strip.row != self._row:
            raise ValueError(f"expected row {self._row}, got {strip.row}")
        values = np.concatenate([self._above, strip.values])
        fresh = np.ones(strip.values.shape, dtype=bool)
        fresh[:, 1:] = strip.values[:, 1:] != strip.values[:, :-1]
        carried = len(self._open.values)
        nodes = np.cumsum(fresh, dtype=np.int32).reshape(fresh.shape)
        nodes += carried - 1
        nodes = np.concatenate([self._above_objects, nodes])  # objects that continue from above, then this strip's runs

        numbers, objects = self._objects(strip, fresh, values, nodes)
        chains, ends, rings = self._traced(_corners(values, nodes, self._row, noded=self._noded), values, nodes)
        last = numbers[nodes[-1]]
        slots = np.full(len(objects.values) + 1, -1, dtype=np.int64)  # one more entry, for the node -1
        continuing = np.unique(last[last >= 0])
        slots[continuing] = np.arange(len(continuing))

        rings = rotate_rings(split_rings(rings))
        ended = [Lines(each.points, each.starts, numbers[each.owners]) for each in (*self._rings, rings)]
        done = [each.pick(slots[each.owners] < 0) for each in ended]
        kept = [
            each if not len(gone.owners) else each.pick(slots[each.owners] >= 0)
            for each, gone in zip(ended, done, strict=True)
        ]
        self._rings = [Lines(each.points, each.starts, slots[each.owners]) for each in kept if len(each.owners)]
        self._chains = Lines(chains.points, chains.starts, slots[numbers[chains.owners]])
        self._ends = ends
        self._open = objects.pick(continuing)
        self._above, self._above_objects = values[-1:], slots[last].astype(np.int32)[np.newaxis]
        self._row += len(strip.values)
        return collect_outlines(objects, slots[:-1] < 0, done)

    def _objects(
        self, strip: Strip, fresh: NDArray[np.bool_], values: NDArray[np.int16], nodes: NDArray[np.int32]
    ) -> tuple[Ints, OutlinedObjects]:
        """The object of each node (one more entry, for the node -1: -1), and the facts on the objects so far."""
        at = np.nonzero(fresh.ravel())[0]
        width = fresh.shape[1]
        rows, columns = at // width + strip.row, at % width
        lengths = np.diff(at, append=fresh.size)
        of_runs = strip.values.ravel()[at].astype(np.int64)
        before = len(self._open.values)
        heads = connected_components(before + len(at), *_links(values, nodes))
        inside = of_runs >= 0
        belongs = np.concatenate([np.ones(before, dtype=bool), inside])
        first_of_all, found = np.unique(heads[belongs], return_inverse=True)
        numbers = np.full(len(heads) + 1, -1, dtype=np.int64)
        numbers[:-1][belongs] = found
        rows, columns, lengths = rows[inside], columns[inside], lengths[inside]
        count = len(first_of_all)
        firsts = np.full(count, np.iinfo(np.int64).max)
        lasts = np.full(count, -1)
        np.minimum.at(firsts, found, np.concatenate([self._open.firsts, rows * width + columns]))
        np.maximum.at(lasts, found, np.concatenate([self._open.lasts, rows]))
        of_nodes = np.concatenate([self._open.values, of_runs])
        weights = np.concatenate([self._open.weights, self._weigh(rows, columns, lengths)])
        pixels = np.bincount(found, np.concatenate([self._open.pixels, lengths]), count).astype(np.int64)
        sums = np.bincount(found, weights, count).astype(np.float64)
        return numbers, OutlinedObjects(of_nodes[first_of_all], firsts, lasts, pixels, sums)

    def _traced(
        self, corners: _Corners, values: NDArray[np.int16], nodes: NDArray[np.int32]
    ) -> tuple[Lines, Ints, Lines]:
        """Chains that continue below the strip, the columns of their two ends, and closed rings. Owners are nodes."""
        edges = np.nonzero(np.diff(values[-1], prepend=-1, append=-1))[0]
        leaving = edges[np.concatenate([[-1], values[-1]])[edges] >= 0]  # downwards, with the object on the left side
        coming = edges[np.append(values[-1], -1)[edges] >= 0]  # upwards, with the object on the right side
        chains = len(self._chains.owners)
        # Vertices of the graph: ends of chains below the strip, their starts, chains from above, corners.
        first_chain = len(leaving) + len(coming)
        first_corner = first_chain + chains
        following = np.arange(first_corner + len(corners.nodes), dtype=np.int32)
        from_above = first_chain + np.arange(chains)
        columns = corners.points[1] >> 1
        for direction, ends_above, ends_below, starts_above, starts_below in (
            (_RIGHT, None, None, None, None),
            (_LEFT, None, None, None, None),
            (_DOWN, None, (np.arange(len(leaving)), leaving), (from_above, self._ends[1]), None),
            (_UP, (from_above, self._ends[0]), None, None, (len(leaving) + np.arange(len(coming)), coming)),
        ):
            # Sides of one direction on one line of the grid do not overlap, for a pixel is of one object: the first that begins
            # is the first that ends. On a row the corners are in this order already.
            starts = np.nonzero(corners.outgoing == direction)[0]
            ends = np.nonzero(corners.incoming == direction)[0]
            if direction in (_DOWN, _UP):
                begin = _down_the_columns(starts_above, (starts + first_corner, columns[starts]), starts_below)
                end = _down_the_columns(ends_above, (ends + first_corner, columns[ends]), ends_below)
            else:
                begin, end = starts + first_corner, ends + first_corner
            following[begin] = end
        order, lines = follow_links(following)
        lengths = np.ones(len(following), dtype=np.int64)
        lengths[:first_chain] = 0
        lengths[first_chain:first_corner] = np.diff(self._chains.starts)
        points = np.concatenate([self._chains.points, corners.points], axis=1)
        origins = np.concatenate(
            [
                np.zeros(first_chain, dtype=np.int64),
                self._chains.starts[:-1],
                self._chains.starts[-1] + np.arange(len(corners.nodes)),
            ]
        )
        points = points[:, ragged_indices(origins[order], lengths[order])]
        sizes = np.add.reduceat(lengths[order], lines[:-1]) if len(lines) > 1 else lengths[:0]
        of_vertices = np.concatenate([nodes[-1][leaving - 1], nodes[-1][coming], self._chains.owners, corners.nodes])
        everything = Lines(points, starts_of(sizes), of_vertices[order[lines[1:] - 1]])
        tails = order[lines[1:] - 1]
        chained = tails < len(leaving)
        entries = order[lines[:-1]][chained] - len(leaving)
        columns_of_ends = np.stack([coming[entries], leaving[tails[chained]]])
        return everything.pick(chained), columns_of_ends, everything.pick(~chained)


def _links(values: NDArray[np.int16], nodes: NDArray[np.int32]) -> tuple[Ints, Ints]:
    """Pairs of nodes that touch through a horizontal side, each pair once: where either of them begins."""
    same = (values[1:] == values[:-1]) & (values[1:] >= 0)
    beside = same[:, 1:] & same[:, :-1]
    beside &= (nodes[1:, 1:] == nodes[1:, :-1]) & (nodes[:-1, 1:] == nodes[:-1, :-1])
    same[:, 1:] &= ~beside
    at = np.nonzero(same.ravel())[0]
    return nodes[:-1].ravel()[at], nodes[1:].ravel()[at]


def _corners(values: NDArray[np.int16], nodes: NDArray[np.int32], row: int, *, noded: bool) -> _Corners:
    """Corners on the upper side of every row but the first of `values`, whose corners were found with the strip before."""
    width = values.shape[1]
    padded = np.pad(values, ((0, 0), (1, 1)), constant_values=-1)
    along = padded[:, 1:] != padded[:, :-1]
    busy = along[1:] | along[:-1]  # where nothing changes along the rows, an outline can only go straight on
    busy &= (padded[1:, 1:] != padded[:-1, 1:]) | (padded[1:, :-1] != padded[:-1, :-1])
    at = np.nonzero(busy.ravel())[0]
    rows, columns = at // (width + 1), at % (width + 1)
    flat = rows * (width + 2) + columns
    corners = np.array([0, 1, width + 2, width + 3])
    four = padded.ravel()[flat[:, np.newaxis] + corners]
    bits = np.zeros(four.shape, dtype=np.uint8)
    for other in range(4):
        bits |= (four == four[:, other : other + 1]).astype(np.uint8) << np.uint8(other)
    one = (1 << np.arange(4)).astype(np.uint8)
    diagonal = (bits == 0b1001) | (bits == 0b0110)  # two pixels that touch at this point only: two corners
    kinds = _TURNS[np.where(diagonal, one, bits)]
    if noded:
        several = np.count_nonzero(bits & (one - 1) == 0, axis=1)[:, np.newaxis] > 2
        kinds = np.where((kinds == _NONE) & several, _STRAIGHTS[bits], kinds)
    # Each set of equal pixels counts once, by its first pixel.
    chosen = (kinds != _NONE) & (four >= 0) & (diagonal | (bits & (one - 1) == 0))
    places, which = np.nonzero(chosen)
    kinds = kinds[chosen]
    rows, columns = rows[places], columns[places]
    of_pixels = (rows + (which >> 1)) * width + columns + (which & 1) - 1
    points = np.stack([rows + row, columns * 2 + diagonal[chosen]]).astype(np.int32)
    return _Corners(points, nodes.ravel()[of_pixels], kinds >> 2, kinds & 3)


def _down_the_columns(*parts: tuple[Ints, Ints] | None) -> Ints:
    """Vertices by column, then from top to bottom; the parts, each (vertices, columns), come from top to bottom."""
    given = [part for part in parts if part is not None]
    vertices, columns = (np.concatenate(each) for each in zip(*given, strict=True))
    small = (
        columns.astype(np.uint16) if columns.max(initial=0) < 1 << 16 else columns
    )  # numpy sorts 16-bit numbers by radix
    result: Ints = vertices[np.argsort(small, kind="stable")]
    return result
