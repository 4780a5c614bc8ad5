"""Outlines of a map's objects: their rings as flat arrays, and how rings that were traced are made valid and put in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.maps.vectors.ragged_arrays import Ints, Lines, follow_links, ragged_indices, starts_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outlines:
    """The rings of some objects, as flat arrays.

    A ring's points are the pixel corners where it turns; its first point is not repeated at the end. Along a ring its object
    is on the right-hand side. A ring begins at its first point in row-major order.
    """

    columns: Ints
    """Column of each point, in pixels from the left edge of the grid."""
    rows: Ints
    """Row of each point, in pixels from the upper edge of the grid."""
    starts: Ints
    """Where each ring begins among the points; one more entry for the end."""
    owners: Ints
    """The object of each ring, ascending. An object's first ring is its outer one, the others are holes."""
    values: Ints
    """The value of each object. Objects are ordered by their last row, then by their first pixel."""
    pixels: Ints
    """Number of pixels of each object."""
    weights: Floats
    """Sum of the weights of the runs of each object, see swath.maps.vectors.tracer.Weigh."""

    def pick(self, chosen: NDArray[np.bool_]) -> Outlines:
        """The chosen objects."""
        numbers = np.cumsum(chosen) - 1
        kept = self.with_rings(chosen[self.owners])
        picked = {name: getattr(self, name)[chosen] for name in ("values", "pixels", "weights")}
        return replace(kept, owners=numbers[kept.owners], **picked)

    def with_rings(self, chosen: NDArray[np.bool_]) -> Outlines:
        """The same objects with the chosen rings."""
        if chosen.all():
            return self
        lengths = np.diff(self.starts)
        points = np.repeat(chosen, lengths)
        return replace(
            self, columns=self.columns[points], rows=self.rows[points], starts=starts_of(lengths[chosen]), owners=self.owners[chosen]
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
class OutlinedObjects:
    """Facts on objects, as arrays with one entry for each object."""

    values: Ints
    firsts: Ints
    """First pixel in row-major order, as row * width + column."""
    lasts: Ints
    """Last row that has a pixel."""
    pixels: Ints
    weights: Floats

    def pick(self, chosen: NDArray[Any]) -> OutlinedObjects:
        """The chosen objects: a mask, or indices."""
        return OutlinedObjects(*(each[chosen] for each in vars(self).values()))


def collect_outlines(objects: OutlinedObjects, done: NDArray[np.bool_], parts: list[Lines]) -> Outlines:
    """The outlines of the objects that are done, in the order of Outlines; `parts` are their rings."""
    chosen = np.nonzero(done)[0]
    chosen = chosen[np.lexsort((objects.firsts[chosen], objects.lasts[chosen]))]
    places = np.full(len(done), -1, dtype=np.int64)
    places[chosen] = np.arange(len(chosen))
    parts = [part for part in parts if len(part.owners)]
    owners = np.concatenate([places[part.owners] for part in parts]) if parts else np.empty(0, dtype=np.int64)
    points = np.concatenate([part.points for part in parts], axis=1) if parts else np.empty((2, 0), dtype=np.int32)
    starts = (
        starts_of(np.concatenate([np.diff(part.starts) for part in parts])) if parts else np.zeros(1, dtype=np.int64)
    )
    lines = Lines(points, starts, owners)
    del points, parts
    # The first point of an object in row-major order is on its outer ring.
    begin = lines.points[:, lines.starts[:-1]].astype(np.int64) if len(owners) else np.empty((2, 0), dtype=np.int64)
    lines = lines.arranged(np.lexsort((begin[1], begin[0], owners)))
    picked = objects.pick(chosen)
    return Outlines(
        columns=lines.points[1] >> 1, rows=lines.points[0], starts=lines.starts, owners=lines.owners,
        values=picked.values, pixels=picked.pixels, weights=picked.weights,
    )  # fmt: skip


def rotate_rings(rings: Lines) -> Lines:
    """The rings, each rotated to begin at its first point in row-major order."""
    if not len(rings.owners):
        return rings
    lengths = np.diff(rings.starts)
    keys = rings.points[0].astype(np.int64) << 32 | rings.points[1]
    first = np.nonzero(keys == np.repeat(np.minimum.reduceat(keys, rings.starts[:-1]), lengths))[0]
    points = rings.points[:, ragged_indices(rings.starts[:-1], lengths, first - rings.starts[:-1])]
    return Lines(points, rings.starts, rings.owners)


def split_rings(rings: Lines) -> Lines:
    """Rings that touch themselves at a point become two rings there."""
    marked = np.nonzero(rings.points[1] & 1)[0]
    ring = np.searchsorted(rings.starts, marked, side="right") - 1
    rows, columns = rings.points[:, marked]
    order = np.lexsort((columns, rows, ring))
    same = (np.diff(ring[order]) == 0) & (np.diff(rows[order]) == 0) & (np.diff(columns[order]) == 0)
    if not same.any():
        return rings
    ones, others = marked[order[:-1][same]], marked[order[1:][same]]
    # Pieces end where a ring touches itself, and at its first point. A piece is followed by what follows the other visit of its end.
    breaks = np.unique(np.concatenate([rings.starts, ones + 1, others + 1]))
    begins, stops = breaks[:-1], breaks[1:]
    of_pieces = np.searchsorted(rings.starts, begins, side="right") - 1
    closing = rings.starts[of_pieces + 1] == stops
    following = np.where(closing, np.searchsorted(begins, rings.starts[of_pieces]), np.arange(1, len(begins) + 1))
    one, other = np.searchsorted(stops, ones + 1), np.searchsorted(stops, others + 1)
    following[one], following[other] = following[other], following[one]
    order, lines = follow_links(following)
    lengths = stops - begins
    points = rings.points[:, ragged_indices(begins[order], lengths[order])]
    return Lines(
        points, starts_of(np.add.reduceat(lengths[order], lines[:-1])), rings.owners[of_pieces[order[lines[:-1]]]]
    )
