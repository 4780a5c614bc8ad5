"""Polygons of different classes that overlap are noted; neighbours that share a border are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely
from pyogrio.raw import write as write_features

from swath.geo import Window
from swath.imagery.labels.labels import LabelSource, find_labels, read_labels
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import VectorLabels
from tests.imagery.rasters import write


def labelled(folder: Path, shapes: list[shapely.Geometry], classes: list[str]) -> LabelSource:
    """Labels in pixels of an image of 20 x 20 at (0, 0)."""
    from affine import Affine

    image = write(
        folder / "image.tif", np.ones((1, 20, 20), np.uint8), crs="EPSG:32632", transform=Affine(1, 0, 5e5, 0, -1, 52e5)
    )
    moved = [
        shapely.transform(shape, lambda at: np.column_stack([5e5 + at[:, 0], 52e5 - at[:, 1]])) for shape in shapes
    ]
    geometry = np.array([shapely.to_wkb(shape) for shape in moved], object)
    fields = {"field_data": [np.array(classes, object)], "fields": np.array(["what"], object)}
    write_features(
        str(folder / "labels.gpkg"),
        geometry=geometry,
        crs="EPSG:32632",
        driver="GPKG",
        geometry_type="Unknown",
        **fields,
    )
    scenes = find(FilesImagery(paths=(str(image),)))
    return find_labels(VectorLabels(path=str(folder / "labels.gpkg"), field="what"), scenes, ("land", "water"))


@pytest.mark.parametrize("order", [0, 1])
def test_the_later_polygon_wins_and_the_note_says_so(tmp_path: Path, order: int) -> None:
    shapes = [shapely.box(0, 0, 12, 10), shapely.box(8, 0, 20, 10)]
    names = ["land", "water"]
    if order:
        shapes, names = shapes[::-1], names[::-1]
    labels = labelled(tmp_path, shapes, names)
    assert (read_labels(labels, Window(0, 8, 10, 4)) == (0 if order else 1)).all()
    (note,) = labels.notes
    assert note.endswith(
        "1 pairs of polygons of different classes overlap, by 40 pixels in all; such pixels get the class of the later polygon in "
        "the file"
    )


def test_shared_borders_equal_classes_and_lines_are_no_overlaps(tmp_path: Path) -> None:
    shapes = [
        shapely.box(0, 0, 10, 10),
        shapely.box(9.99, 0, 20, 10),
        shapely.box(9, 0, 20, 9),
        shapely.LineString([(0, 5), (20, 5)]),
    ]
    assert labelled(tmp_path, [shapes[0], shapes[1]], ["land", "water"]).notes == ()
    assert labelled(tmp_path, [shapes[1], shapes[2]], ["water", "water"]).notes == ()
    assert labelled(tmp_path, [shapes[0], shapes[1], shapes[3]], ["land", "land", "water"]).notes == ()


def test_a_polygon_that_crosses_itself_is_measured_too(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    (note,) = labelled(tmp_path, [bow, shapely.box(0, 0, 5, 10)], ["land", "water"]).notes
    assert "by 25 pixels" in note
