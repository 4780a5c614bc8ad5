"""Outlines of a map's objects, exactly along the pixels' sides: tracing by array operations, no loop over objects.

An object is a set of pixels of one value that are connected through their sides (4-connectivity). The map comes in strips
from top to bottom; an object is given away whole as soon as a strip does not reach it any more. Between strips only what
is still open is kept: of outlines that go on below, their points; of objects that go on below, their closed rings too.

At a point where an object touches itself, its outline is first led as if the two pixels there were of different objects: so
a strip can be traced without knowing what will be joined further down. When the object is whole, rings that meet
themselves at a point are parted there: the polygons are valid as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float64]

Weigh = Callable[[Ints, Ints, Ints], Floats]
"""Takes rows, first columns and lengths of runs, gives a number for each. Whole numbers, so that their sums do not depend on
the order in which they are added; or NaN."""

_RIGHT, _DOWN, _LEFT, _UP = range(4)
_NONE = 255
_PORTION = 1 << 20
_CORNERS = {
    # The 2 x 2 pixels around a grid point, as bits (upper left 1, upper right 2, lower left 4, lower right 8), that belong to
    # the object: how its outline comes in and goes out, with the object on its right hand.
    1: (_DOWN, _LEFT), 2: (_LEFT, _UP), 4: (_RIGHT, _DOWN), 8: (_UP, _RIGHT),
    14: (_RIGHT, _UP), 13: (_DOWN, _RIGHT), 11: (_UP, _LEFT), 7: (_LEFT, _DOWN),
}  # fmt: skip
_STRAIGHT = {3: (_LEFT, _LEFT), 12: (_RIGHT, _RIGHT), 5: (_DOWN, _DOWN), 10: (_UP, _UP)}


def _kinds(shapes: dict[int, tuple[int, int]]) -> NDArray[np.uint8]:
    table = np.full(16, _NONE, dtype=np.uint8)
    for bits, (incoming, outgoing) in shapes.items():
        table[bits] = incoming * 4 + outgoing
    return table


_TURNS, _PASSES = _kinds(_CORNERS), _kinds(_STRAIGHT)


@dataclass(frozen=True)
class Outlines:
    """Rings of some objects. A ring's points are the pixel corners where it turns; it is not closed by a repeated point. It has
    its object on the right hand, and begins at its first point, row by row."""

    columns: Ints
    """Of each point, from the grid's left side."""
    rows: Ints
    """Of each point, from the grid's upper side."""
    starts: Ints
    """Where each ring begins among the points; one more at the end."""
    owners: Ints
    """The object of each ring, ascending. An object's first ring is its outer one, the others are holes."""
    values: Ints
    """The value of each object. Objects are ordered by their last row, then by their first pixel."""
    pixels: Ints
    """Number of pixels of each object."""
    weights: Floats
    """Sum of what `weigh` gave for the runs of each object."""

    def of(self, chosen: NDArray[np.bool_]) -> Outlines:
        """Of these objects alone."""
        numbers = np.cumsum(chosen) - 1
        kept = self.with_rings(chosen[self.owners])
        picked = {name: getattr(self, name)[chosen] for name in ("values", "pixels", "weights")}
        return replace(kept, owners=numbers[kept.owners], **picked)

    def with_rings(self, chosen: NDArray[np.bool_]) -> Outlines:
        """With these rings alone."""
        if chosen.all():
            return self
        lengths = np.diff(self.starts)
        points = np.repeat(chosen, lengths)
        return replace(
            self, columns=self.columns[points], rows=self.rows[points], starts=_starts(lengths[chosen]), owners=self.owners[chosen]
        )  # fmt: skip

    def ring_pixels(self) -> Floats:
        """Number of pixels that each ring encloses."""
        if not len(self.owners):
            return np.empty(0)
        after = np.arange(1, len(self.rows) + 1)
        after[self.starts[1:] - 1] = self.starts[:-1]
        x, y = self.columns.astype(np.float64), self.rows.astype(np.float64)
        twice: Floats = np.add.reduceat(x * y[after] - x[after] * y, self.starts[:-1])
        return np.abs(twice) / 2


@dataclass(frozen=True)
class Strip:
    """Some full rows of the map."""

    row: int
    """Of its first row."""
    values: NDArray[np.int16]
    """(rows, columns); -1 where there is no object."""


@dataclass(frozen=True)
class _Lines:
    """Many lines of points, end to end."""

    points: NDArray[np.int32]
    """(2, n): rows, and twice the columns plus 1 where the object may touch itself."""
    starts: Ints
    """Where each line begins; one more at the end."""
    owners: Ints

    def pick(self, chosen: NDArray[np.bool_]) -> _Lines:
        lengths = np.diff(self.starts)
        points = self.points[:, np.repeat(chosen, lengths)]
        return _Lines(points, _starts(lengths[chosen]), self.owners[chosen])

    def arranged(self, order: Ints) -> _Lines:
        """The lines in another order, some at a time: there may be very many."""
        lengths = np.diff(self.starts)[order]
        starts = _starts(lengths)
        points = np.empty_like(self.points)
        for first, last in portions(starts):
            gather = _ragged(self.starts[:-1][order[first:last]], lengths[first:last])
            points[:, starts[first] : starts[last]] = self.points[:, gather]
        return _Lines(points, starts, self.owners[order])


@dataclass(frozen=True)
class _Objects:
    """What is known of objects, each an array of one length."""

    values: Ints
    firsts: Ints
    """First pixel, as row * width + column."""
    lasts: Ints
    """Last row."""
    pixels: Ints
    weights: Floats

    def pick(self, chosen: NDArray[Any]) -> _Objects:
        return _Objects(*(each[chosen] for each in vars(self).values()))


@dataclass(frozen=True)
class _Corners:
    """Places where outlines turn, row by row."""

    points: NDArray[np.int32]
    """As in _Lines."""
    nodes: Ints
    """A run of the object."""
    incoming: NDArray[np.uint8]
    outgoing: NDArray[np.uint8]


class Tracer:
    """Takes strips from top to bottom, gives the objects that ended.

    Memory: about 40 bytes for each pixel of a strip and 100 for each of its corners; 8 bytes for each corner of the objects that go on
    below it; and some 60 for each corner of the objects that end in one strip. The strips leave no trace in the result.

    With `noded`, an outline has a point also where its neighbour changes, so that two objects have the same points along the
    border that they share.
    """

    def __init__(self, width: int, weigh: Weigh, *, noded: bool = False) -> None:
        self._weigh = weigh
        self._noded = noded
        self._row = 0
        nothing = np.empty(0, dtype=np.int64)
        self._above: NDArray[np.int16] = np.full((1, width), -1, dtype=np.int16)
        self._above_objects = np.full((1, width), -1, dtype=np.int32)
        self._open = _Objects(nothing, nothing, nothing, nothing, np.empty(0))
        self._chains = _Lines(np.empty((2, 0), dtype=np.int32), np.zeros(1, dtype=np.int64), nothing)
        self._ends = np.empty((2, 0), dtype=np.int64)
        """Of each chain, the columns where it comes in from below and where it goes out."""
        self._rings: list[_Lines] = []

    def finish(self) -> Outlines:
        """The objects that reach the lower edge."""
        return self.take(Strip(self._row, np.full((1, self._above.shape[1]), -1, dtype=np.int16)))

    def take(self, strip: Strip) -> Outlines:
        """The next rows, which must follow those of the last strip. Gives the objects that do not reach the last of them."""
        if strip.row != self._row:
            raise ValueError(f"expected row {self._row}, got {strip.row}")
        values = np.concatenate([self._above, strip.values])
        fresh = np.ones(strip.values.shape, dtype=bool)
        fresh[:, 1:] = strip.values[:, 1:] != strip.values[:, :-1]
        carried = len(self._open.values)
        nodes = np.cumsum(fresh, dtype=np.int32).reshape(fresh.shape)
        nodes += carried - 1
        nodes = np.concatenate([self._above_objects, nodes])  # objects that came from above, then this strip's runs

        numbers, objects = self._objects(strip, fresh, values, nodes)
        chains, ends, rings = self._traced(_corners(values, nodes, self._row, noded=self._noded), values, nodes)
        last = numbers[nodes[-1]]
        slots = np.full(len(objects.values) + 1, -1, dtype=np.int64)  # one more: what is asked for -1 has no place
        going_on = np.unique(last[last >= 0])
        slots[going_on] = np.arange(len(going_on))

        rings = _turned(_parted(rings))
        ended = [_Lines(each.points, each.starts, numbers[each.owners]) for each in (*self._rings, rings)]
        done = [each.pick(slots[each.owners] < 0) for each in ended]
        kept = [
            each if not len(gone.owners) else each.pick(slots[each.owners] >= 0)
            for each, gone in zip(ended, done, strict=True)
        ]
        self._rings = [_Lines(each.points, each.starts, slots[each.owners]) for each in kept if len(each.owners)]
        self._chains = _Lines(chains.points, chains.starts, slots[numbers[chains.owners]])
        self._ends = ends
        self._open = objects.pick(going_on)
        self._above, self._above_objects = values[-1:], slots[last].astype(np.int32)[np.newaxis]
        self._row += len(strip.values)
        return _outlines(objects, slots[:-1] < 0, done)

    def _objects(
        self, strip: Strip, fresh: NDArray[np.bool_], values: NDArray[np.int16], nodes: NDArray[np.int32]
    ) -> tuple[Ints, _Objects]:
        """The object of each node (one more at the end: -1), and what is known of the objects by now."""
        at = np.nonzero(fresh.ravel())[0]
        width = fresh.shape[1]
        rows, columns = at // width + strip.row, at % width
        lengths = np.diff(at, append=fresh.size)
        of_runs = strip.values.ravel()[at].astype(np.int64)
        before = len(self._open.values)
        heads = _joined(before + len(at), *_links(values, nodes))
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
        return numbers, _Objects(of_nodes[first_of_all], firsts, lasts, pixels, sums)

    def _traced(
        self, corners: _Corners, values: NDArray[np.int16], nodes: NDArray[np.int32]
    ) -> tuple[_Lines, Ints, _Lines]:
        """Chains that go on below the strip, the columns of their two ends, and rings that are closed. Owners are nodes."""
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
        order, lines = _threaded(following)
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
        points = points[:, _ragged(origins[order], lengths[order])]
        sizes = np.add.reduceat(lengths[order], lines[:-1]) if len(lines) > 1 else lengths[:0]
        of_vertices = np.concatenate([nodes[-1][leaving - 1], nodes[-1][coming], self._chains.owners, corners.nodes])
        everything = _Lines(points, _starts(sizes), of_vertices[order[lines[1:] - 1]])
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
    """Corners on the upper side of every row but the first of `values`, which was done before."""
    width = values.shape[1]
    padded = np.pad(values, ((0, 0), (1, 1)), constant_values=-1)
    along = padded[:, 1:] != padded[:, :-1]
    busy = along[1:] | along[:-1]  # where nothing changes along the rows, an outline can only pass
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
    diagonal = (bits == 0b1001) | (bits == 0b0110)  # two pixels that touch at the point only: two corners
    kinds = _TURNS[np.where(diagonal, one, bits)]
    if noded:
        several = np.count_nonzero(bits & (one - 1) == 0, axis=1)[:, np.newaxis] > 2
        kinds = np.where((kinds == _NONE) & several, _PASSES[bits], kinds)
    # Each set of equal pixels is taken once, through its first pixel.
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
    )  # numpy sorts short numbers by radix
    result: Ints = vertices[np.argsort(small, kind="stable")]
    return result


def _outlines(objects: _Objects, done: NDArray[np.bool_], parts: list[_Lines]) -> Outlines:
    """The objects that are done, in order; `parts` are their rings."""
    chosen = np.nonzero(done)[0]
    chosen = chosen[np.lexsort((objects.firsts[chosen], objects.lasts[chosen]))]
    places = np.full(len(done), -1, dtype=np.int64)
    places[chosen] = np.arange(len(chosen))
    parts = [part for part in parts if len(part.owners)]
    owners = np.concatenate([places[part.owners] for part in parts]) if parts else np.empty(0, dtype=np.int64)
    points = np.concatenate([part.points for part in parts], axis=1) if parts else np.empty((2, 0), dtype=np.int32)
    starts = _starts(np.concatenate([np.diff(part.starts) for part in parts])) if parts else np.zeros(1, dtype=np.int64)
    lines = _Lines(points, starts, owners)
    del points, parts
    # An object's very first point is on its outer ring.
    begin = lines.points[:, lines.starts[:-1]].astype(np.int64) if len(owners) else np.empty((2, 0), dtype=np.int64)
    lines = lines.arranged(np.lexsort((begin[1], begin[0], owners)))
    picked = objects.pick(chosen)
    return Outlines(
        columns=lines.points[1] >> 1, rows=lines.points[0], starts=lines.starts, owners=lines.owners,
        values=picked.values, pixels=picked.pixels, weights=picked.weights,
    )  # fmt: skip


def _turned(rings: _Lines) -> _Lines:
    """The rings so that each begins at its first point, row by row."""
    if not len(rings.owners):
        return rings
    lengths = np.diff(rings.starts)
    keys = rings.points[0].astype(np.int64) << 32 | rings.points[1]
    first = np.nonzero(keys == np.repeat(np.minimum.reduceat(keys, rings.starts[:-1]), lengths))[0]
    points = rings.points[:, _ragged(rings.starts[:-1], lengths, first - rings.starts[:-1])]
    return _Lines(points, rings.starts, rings.owners)


def _parted(rings: _Lines) -> _Lines:
    """Rings that meet themselves at a point become two there."""
    marked = np.nonzero(rings.points[1] & 1)[0]
    ring = np.searchsorted(rings.starts, marked, side="right") - 1
    rows, columns = rings.points[:, marked]
    order = np.lexsort((columns, rows, ring))
    same = (np.diff(ring[order]) == 0) & (np.diff(rows[order]) == 0) & (np.diff(columns[order]) == 0)
    if not same.any():
        return rings
    ones, others = marked[order[:-1][same]], marked[order[1:][same]]
    # Pieces end where a ring meets itself, and where it was cut open. The next of each piece is what follows the other visit.
    breaks = np.unique(np.concatenate([rings.starts, ones + 1, others + 1]))
    begins, stops = breaks[:-1], breaks[1:]
    of_pieces = np.searchsorted(rings.starts, begins, side="right") - 1
    closing = rings.starts[of_pieces + 1] == stops
    following = np.where(closing, np.searchsorted(begins, rings.starts[of_pieces]), np.arange(1, len(begins) + 1))
    one, other = np.searchsorted(stops, ones + 1), np.searchsorted(stops, others + 1)
    following[one], following[other] = following[other], following[one]
    order, lines = _threaded(following)
    lengths = stops - begins
    points = rings.points[:, _ragged(begins[order], lengths[order])]
    return _Lines(
        points, _starts(np.add.reduceat(lengths[order], lines[:-1])), rings.owners[of_pieces[order[lines[:-1]]]]
    )


def portions(starts: Ints) -> Iterator[tuple[int, int]]:
    """Lines that begin at `starts`, in portions (first, last + 1) of a million points, or of one line with more."""
    first = 0
    while first < len(starts) - 1:
        last = max(int(np.searchsorted(starts, starts[first] + _PORTION, side="right")) - 1, first + 1)
        yield first, last
        first = last


def _starts(lengths: Ints) -> Ints:
    """Where pieces of these lengths begin, laid end to end; one more at the end."""
    result = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=result[1:])
    return result


def _ragged(origins: Ints, lengths: Ints, turns: Ints | None = None) -> Ints:
    """Indices of pieces that begin at `origins`; each is turned around so that it begins `turns` later."""
    steps = np.arange(int(lengths.sum()), dtype=np.int64)
    steps -= np.repeat(_starts(lengths)[:-1], lengths)
    if turns is not None:
        steps += np.repeat(turns, lengths)
        steps -= np.where(steps >= (long := np.repeat(lengths, lengths)), long, 0)
    steps += np.repeat(origins, lengths)
    return steps


def _joined(count: int, ones: Ints, others: Ints) -> Ints:
    """For each of `count` things the first one that it is linked with, directly or through others."""
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


def _threaded(following: Ints) -> tuple[Ints, Ints]:
    """Follow vertices along: their order, line after line, and where each line begins in it; one more at the end.

    A line is a cycle, or a path that ends in a vertex that follows itself and has a lower number than all vertices that are
    no such ends. Cycles begin anywhere. Steps are doubled each time round, so there are as many rounds as the longest line has bits.
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
    starts = _starts(lengths)
    stops = np.empty(count, dtype=np.int64)
    stops[leaders] = starts[1:]
    order = np.empty(count, dtype=np.int64)
    order[stops[leader] - 1 - left] = everything
    return order, starts
