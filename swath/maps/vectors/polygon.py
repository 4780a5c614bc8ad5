"""Polygons of outlines: as WKB, as bounds, and as shapely geometries for simplification."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from swath.maps.vectors.outlines import Floats, Outlines
from swath.maps.vectors.ragged_arrays import line_batches

_HEAD = b"\x01\x03\x00\x00\x00"
"""Of a polygon in little-endian WKB."""

Polygons = NDArray[np.object_]


def split_objects(outlines: Outlines) -> Iterator[tuple[slice, slice]]:
    """Slices of (objects, rings) in order: batches of about a million points, or of one object with more."""
    first_rings = np.searchsorted(outlines.owners, np.arange(len(outlines.values) + 1))
    for start, stop in line_batches(outlines.starts[first_rings]):
        yield slice(start, stop), slice(int(first_rings[start]), int(first_rings[stop]))


def to_wkb(outlines: Outlines, rings: slice, transform: Affine) -> list[bytes]:
    """WKB of the polygons of whole objects, which have these rings, in the CRS of `transform`; outer rings counter-clockwise.

    The bytes are written with array operations, without a geometry object for each ring: an object may have millions.
    """
    starts, owners = outlines.starts[rings.start : rings.stop + 1], outlines.owners[rings]
    lengths = np.diff(starts)
    sizes = 1 + 4 * (lengths + 1)  # in words of 4 bytes: a number of points; the points, the first one twice
    firsts = np.nonzero(np.diff(owners, prepend=-1))[0]  # of each polygon, which begins with its number of rings
    before = np.zeros(len(owners) + 1, dtype=np.int64)
    np.cumsum(sizes, out=before[1:])
    before[:-1] += np.cumsum(np.diff(owners, prepend=-1) != 0)
    before[-1] += len(firsts)
    words = np.empty(before[-1], dtype="<u4")
    words[before[:-1][firsts] - 1] = np.diff(np.append(firsts, len(owners)))
    words[before[:-1]] = lengths + 1
    reverse = (
        transform.determinant < 0
    )  # rows count downwards: what has its object on the right hand goes around clockwise
    for start, stop in line_batches(starts):
        chosen = slice(int(starts[start]), int(starts[stop]))
        x, y = outlines.columns[chosen], outlines.rows[chosen]
        places = np.empty((len(x), 2), dtype="<f8")
        places[:, 0] = transform.a * x + transform.b * y + transform.c
        places[:, 1] = transform.d * x + transform.e * y + transform.f
        quarters = places.view("<u4")
        length = np.repeat(lengths[start:stop], lengths[start:stop])
        step = np.arange(len(x)) - np.repeat(starts[start:stop] - starts[start], lengths[start:stop])
        at = np.repeat(before[start:stop] + 1, lengths[start:stop])
        at += 4 * (np.where(step == 0, 0, length - step) if reverse else step)
        heads = before[start:stop] + 1
        for quarter in range(4):
            words[at + quarter] = quarters[:, quarter]
            words[heads + 4 * lengths[start:stop] + quarter] = words[heads + quarter]
    ends = np.append(before[:-1][firsts] - 1, len(words))
    return [b"".join((_HEAD, words[one:other].data)) for one, other in itertools.pairwise(ends.tolist())]


def object_bounds(outlines: Outlines, objects: slice, rings: slice, transform: Affine) -> Floats:
    """(objects, 4): west, south, east, north of each, from their outer rings."""
    firsts = np.searchsorted(outlines.owners[rings], np.arange(objects.start, objects.stop)) + rings.start
    lengths = np.diff(outlines.starts)[firsts]
    gather = np.arange(int(lengths.sum())) + np.repeat(
        outlines.starts[firsts] - (np.cumsum(lengths) - lengths), lengths
    )
    x, y = outlines.columns[gather], outlines.rows[gather]
    places = (transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f)
    begin = np.cumsum(lengths) - lengths
    low, high = ([np.array(f.reduceat(each, begin)) for each in places] for f in (np.minimum, np.maximum))
    return np.stack([*low, *high], axis=1)


def to_polygons(outlines: Outlines) -> Iterator[Polygons]:
    """Batches of shapely polygons in pixel coordinates (column, row)."""
    for objects, rings in split_objects(outlines):
        starts = outlines.starts[rings.start : rings.stop + 1]
        chosen = slice(int(starts[0]), int(starts[-1]))
        places = np.stack([outlines.columns[chosen], outlines.rows[chosen]], axis=1).astype(np.float64)
        made = np.asarray(shapely.linearrings(places, indices=np.repeat(np.arange(len(starts) - 1), np.diff(starts))))
        yield np.asarray(shapely.polygons(made, indices=outlines.owners[rings] - objects.start))


def simplify(found: list[Outlines], tolerance: float) -> Outlines:
    """The objects of all of `found` with fewer points: corners are removed whose triangles have an area of up to about
    `tolerance` squared, in pixels. The other points do not move.

    All outlines are simplified together, by GEOS's simplification of coverages (Visvalingam-Whyatt): a border between two
    objects stays one line, objects do not overlap, none is lost. The outlines must come from a tracer with `noded`.
    """
    shapes = [shape for each in found for shape in to_polygons(each)]
    everything = np.concatenate([np.empty(0, dtype=object), *shapes])
    del shapes
    if len(everything):
        everything = np.asarray(shapely.coverage_simplify(everything, tolerance))
    rings, owners = shapely.get_rings(everything, return_index=True)
    points, numbers = shapely.get_coordinates(rings, return_index=True)
    kept = np.diff(numbers, append=-1) == 0  # all but the last of a ring, which repeats its first
    points, numbers = points[kept].astype(np.int32), numbers[kept]
    return Outlines(
        columns=points[:, 0],
        rows=points[:, 1],
        starts=np.searchsorted(numbers, np.arange(len(rings) + 1)),
        owners=owners,
        values=np.concatenate([each.values for each in found]),
        pixels=np.concatenate([each.pixels for each in found]),
        weights=np.concatenate([each.weights for each in found]),
    )
