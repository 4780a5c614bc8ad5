"""Objects of labels: traced from pixels, or the features themselves, clipped."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.labels.label_objects import label_objects, trace_objects
from swath.imagery.labels.labels import find_labels
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import ExpressionLabels, VectorLabels
from tests.imagery.rasters import write


def test_patches_are_traced_along_the_pixels_in_coordinates_of_the_image() -> None:
    mask = np.zeros((4, 5), bool)
    mask[0, 0] = mask[1, 1] = mask[2:4, 3] = True  # the first two touch at a corner only
    found = trace_objects(mask, Window(10, 20, 4, 5))
    assert sorted(shape.bounds for shape in found) == [(20, 10, 21, 11), (21, 11, 22, 12), (23, 12, 24, 14)]
    assert shapely.area(found).sum() == mask.sum()
    assert len(trace_objects(np.zeros((2, 2), bool), Window(0, 0, 2, 2))) == 0


def test_features_are_clipped_to_the_window_and_other_labels_have_none(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", np.zeros((1, 40, 50), np.uint8), names=("green",))
    imagery = FilesImagery(paths=(str(path),))
    scenes = find(imagery)
    ring = [
        (500_000, 5_000_000),
        (500_100, 5_000_000),
        (500_100, 4_999_900),
        (500_000, 4_999_900),
        (500_000, 5_000_000),
    ]
    document = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
        "features": [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}],
    }
    (tmp_path / "l.geojson").write_text(json.dumps(document))
    labels = find_labels(VectorLabels(path=str(tmp_path / "l.geojson"), label="water"), scenes, ("land", "water"))
    found = label_objects(labels, 1, Window(5, 0, 30, 50))
    assert found is not None
    assert [shape.bounds for shape in found] == [(0, 5, 10, 10)]
    other = label_objects(labels, 0, Window(5, 0, 30, 50))
    assert other is not None
    assert len(other) == 0
    rule = ExpressionLabels(expression="green == 0", label="water", otherwise="land")
    assert label_objects(find_labels(rule, scenes, ("land", "water"), None, imagery), 1, Window(0, 0, 9, 9)) is None


def test_features_with_too_many_crossings_to_be_repaired_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "image.tif", np.zeros((1, 40, 50), np.uint8), names=("green",))
    scenes = find(FilesImagery(paths=(str(path),)))
    points = (np.random.default_rng(1).random((3_000, 2)) * 400 + [500_000, 4_999_600]).tolist()
    document = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
        "features": [
            {
                "type": "Feature",
                "properties": {},
                "geometry": {"type": "Polygon", "coordinates": [[*points, points[0]]]},
            }
        ],
    }
    (tmp_path / "l.geojson").write_text(json.dumps(document))
    labels = find_labels(VectorLabels(path=str(tmp_path / "l.geojson"), label="water"), scenes, ("land", "water"))
    with pytest.raises(
        ImageryError, match=r"l\.geojson: the edges of polygons of class 1 cross .* more than 2,000 times"
    ):
        label_objects(labels, 1, Window(0, 0, 40, 50))
