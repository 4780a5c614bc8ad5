"""Objects of a class as polygons in pixel coordinates: traced from a mask, or the features of vector labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.footprint import area_pixels
from swath.imagery.labels.labels import LabelSource, VectorSource, features
from swath.spec.fields.crossings import MOST_CROSSINGS, has_too_many_crossings
from swath.storage.address import redacted


def trace_objects(mask: NDArray[np.bool_], window: Window) -> NDArray[Any]:
    """Patches of True pixels that are connected through their sides, as an array of shapely polygons in (column, row) of the image
    grid. The mask has the shape (height, width) of `window`."""
    from rasterio.features import shapes

    shapes_of_class = [
        shapely.geometry.shape(each) for each, _ in shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    ]
    polygons = np.array(shapes_of_class, dtype=object)
    return (
        shapely.transform(polygons, lambda points: points + np.array([window.col, window.row]))
        if len(polygons)
        else polygons
    )


def label_objects(labels: LabelSource, number: int, window: Window) -> NDArray[Any] | None:
    """Features of a class, clipped to a window and to the labels' area, as polygons in (column, row); None for labels that are not
    vectors, whose objects have to be traced."""
    if not isinstance(labels.source, VectorSource):
        return None
    shapes, numbers = features(labels.source, labels.image)
    box = shapely.box(window.col, window.row, window.stop_col, window.stop_row)
    shapes_of_class = shapes[numbers == number]
    within = box if labels.area is None else box.intersection(area_pixels(labels.area, labels.image))
    if has_too_many_crossings(shapes_of_class):
        raise ImageryError(
            f"{redacted(labels.source.path)}: the edges of polygons of class {number} cross each other more than "
            f"{MOST_CROSSINGS:,} times, too often to be repaired",
            remedy="Repair the labels first; shapely's is_valid_reason names a crossing of each invalid polygon.",
        )
    shapes_of_class = shapely.intersection(shapely.make_valid(shapes_of_class), within)
    clipped: NDArray[Any] = shapes_of_class[shapely.area(shapes_of_class) > 0]
    return clipped
