"""Whether invalid polygons have so many crossing edges that their repair would take minutes or hours.

A repair makes one face of each crossing, and its time grows faster than the number of faces. shapely is imported inside the
function, so that specs without an area load fast.
"""

from __future__ import annotations

from typing import Any

MOST_CROSSINGS = 2_000
"""More crossings of edges, in all invalid polygons together, are refused; so many are repaired in some seconds."""
_FIRST_EDGES = 16


def has_too_many_crossings(polygons: Any, limit: int = MOST_CROSSINGS) -> bool:
    """Whether edges of invalid polygons cross or overlap other edges of the same polygon more than `limit` times in total.

    Valid polygons and None are passed over. Edges that only touch are not counted. Fast also for millions of crossings.
    """
    import numpy as np
    import shapely

    pairs = 0
    polygons = np.asarray(polygons, dtype=object)
    for polygon in polygons[~shapely.is_valid(polygons) & ~shapely.is_missing(polygons)]:
        points, ring = shapely.get_coordinates(
            shapely.get_rings(shapely.get_parts(shapely.get_parts(polygon))), return_index=True
        )
        edge = (ring[1:] == ring[:-1]) & (points[1:] != points[:-1]).any(axis=1) & np.isfinite(points[1:]).all(axis=1)
        ends = np.stack([points[:-1][edge], points[1:][edge]], axis=1)
        # In random order a few edges show early how many crossings the others have; then memory stays small.
        ends = ends[np.random.default_rng(0).permutation(len(ends))]
        ahead = ends[:, 1] - ends[:, 0]
        edges: Any = shapely.linestrings(ends)
        tree = shapely.STRtree(edges)
        first, size = 0, _FIRST_EDGES
        while first < len(edges):
            one, other = tree.query(edges[first : first + size], predicate="intersects")
            one += first
            # Most pairs are neighbours, which share an end: they only touch unless they are parallel.
            shared = (ends[one][:, :, None] == ends[other][:, None]).all(axis=3).any(axis=(1, 2))
            parallel = ahead[one, 0] * ahead[other, 1] == ahead[one, 1] * ahead[other, 0]
            meet = (one != other) & (~shared | parallel)
            crossing = int((~shapely.touches(edges[one[meet]], edges[other[meet]])).sum())
            pairs += crossing  # each pair is found from both of its edges
            if pairs > 2 * limit:
                return True
            first, size = first + size, size * 2 if crossing <= size else size
    return False
