"""Label polygons of different classes that overlap: pixels in both get the class of the later one in the file, which a note says."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

_MOST_PAIRS = 50_000
"""Of neighbours whose overlap is measured."""
_MIN_PIXELS = 1.0
"""Smaller overlaps are those of borders that were drawn twice."""


def overlap_notes(
    shapes: NDArray[np.object_], classes: NDArray[np.uint8], tree: shapely.STRtree, where: str
) -> list[str]:
    """A note on polygons of different classes that overlap by more than a pixel. `shapes` are in pixels of the image, `tree` is their
    index, `classes` the number of each one's class."""
    first, second = tree.query(shapes)
    chosen = (first < second) & (classes[first] != classes[second])
    first, second = first[chosen][:_MOST_PAIRS], second[chosen][:_MOST_PAIRS]
    area = (shapely.get_dimensions(shapes[first]) == 2) & (shapely.get_dimensions(shapes[second]) == 2)
    first, second = first[area], second[area]
    if not len(first):
        return []
    try:
        valid = [shapely.make_valid(shapes[each]) for each in (first, second)]
        pixels = shapely.area(shapely.intersection(*valid))
    except shapely.GEOSException:  # of shapes that cannot be repaired: nothing is known of them
        return []
    overlapping = pixels > _MIN_PIXELS
    if not overlapping.any():
        return []
    return [
        f"{where}: {int(overlapping.sum()):,} pairs of polygons of different classes overlap, by {pixels[overlapping].sum():,.0f} "
        "pixels in all; such pixels get the class of the later polygon in the file"
    ]
