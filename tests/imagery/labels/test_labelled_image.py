"""Images with labels: one for each scene, or one mosaic."""

import numpy as np

from swath.geo import Window
from swath.imagery.labels.labelled_image import find_labelled_images
from swath.imagery.labels.labels import read_labels
from swath.imagery.sources.find import find_each
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import ExpressionLabels, LabelledImagery
from tests.imagery.rasters import write

WHOLE = Window(0, 0, 40, 50)


CLASSES = ("land", "water")


def test_two_dates_of_one_place_are_two_images_and_a_mosaic_is_one(tmp_path):
    for name, value in (("a", 10), ("b", 20)):
        write(tmp_path / f"{name}.tif", np.full((1, 40, 50), value, np.uint8), names=("green",))
    imagery = FilesImagery(paths=(str(tmp_path / "?.tif"),))
    rule = ExpressionLabels(expression="green > 15", label="water", otherwise="land")
    data = (LabelledImagery(imagery=imagery, labels=rule),)
    each = find_labelled_images(data, ("green",), CLASSES)
    assert [int(read_labels(one.labels, WHOLE).max()) for one in each] == [0, 1]
    assert [scenes.scenes[0].id for scenes in find_each(imagery)] == ["a", "b"]
    (mosaic,) = find_labelled_images(data, ("green",), CLASSES, mosaic=True)
    assert int(read_labels(mosaic.labels, WHOLE).max()) == 0  # from the scene that the pixels come from: the first
