"""Outlines as shapely's polygons, and back. Coordinates are the grid's pixels, (column, row)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.imagery.outline import Outlines

_POINTS = 1 << 20

Polygons = NDArray[np.object_]


def polygons(outlines: Outlines) -> Iterator[tuple[slice, Polygons]]:
    """The polygons with the objects that they are of, a million points at a time, or one object."""
    first_rings = np.searchsorted(outlines.owners, np.arange(len(outlines.values) + 1))
    first_points = outlines.starts[first_rings]
    start = 0
    while start < len(outlines.values):
        stop = int(np.searchsorted(first_points, first_points[start] + _POINTS, side="right")) - 1
        stop = max(stop, start + 1)
        points = slice(int(first_points[start]), int(first_points[stop]))
        rings = slice(int(first_rings[start]), int(first_rings[stop]))
        places = np.stack([outlines.columns[points], outlines.rows[points]], axis=1).astype(np.float64)
        numbers = np.repeat(np.arange(rings.stop - rings.start), np.diff(outlines.starts[rings.start : rings.stop + 1]))
        made = np.asarray(shapely.linearrings(places, indices=numbers))
        yield slice(start, stop), np.asarray(shapely.polygons(made, indices=outlines.owners[rings] - start))
        start = stop


def simplified(parts: list[Outlines], tolerance: float) -> Outlines:
    """The objects of all `parts` with fewer points: corners are cut off whose triangles have areas of up to about `tolerance`
    squared, in pixels. Points that stay do not move.

    All outlines are looked at together, by GEOS's simplification of coverages (Visvalingam-Whyatt): a border between two
    objects stays one line, objects do not overlap, none is lost. The parts must come from a tracer with `noded`.
    """
    shapes = [shape for part in parts for _, shape in polygons(part)]
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
        values=np.concatenate([part.values for part in parts]),
        pixels=np.concatenate([part.pixels for part in parts]),
        weights=np.concatenate([part.weights for part in parts]),
    )
