"""Objects of a class as polygons in pixel coordinates: traced from class numbers, or the features that labels come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from swath.geo import Window
from swath.imagery.geometry.footprint import area_pixels
from swath.imagery.labels.labels import LabelSource, VectorSource, features


def trace_objects(here: NDArray[np.bool_], window: Window) -> NDArray[Any]:
    """Connected pixels (by their sides) as polygons along the pixels' sides, in (column, row) of the image grid that `window` is
    of; an array of shapely geometries."""
    from rasterio.features import shapes

    found = [shapely.geometry.shape(each) for each, _ in shapes(here.astype(np.uint8), mask=here, connectivity=4)]
    made = np.array(found, dtype=object)
    return shapely.transform(made, lambda points: points + np.array([window.col, window.row])) if len(made) else made


def label_objects(labels: LabelSource, number: int, window: Window) -> NDArray[Any] | None:
    """Features of a class, cut at a window's edges and at the labels' area, as polygons in pixel coordinates; None where labels are
    no polygons, so that objects have to be traced from their pixels."""
    if not isinstance(labels.source, VectorSource):
        return None
    shapes, numbers = features(labels.source, labels.image)
    box = shapely.box(window.col, window.row, window.stop_col, window.stop_row)
    found = shapes[numbers == number]
    within = box if labels.area is None else box.intersection(area_pixels(labels.area, labels.image))
    found = shapely.intersection(shapely.make_valid(found), within)
    kept: NDArray[Any] = found[shapely.area(found) > 0]
    return kept
