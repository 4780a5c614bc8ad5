"""A label raster that names its values is matched with the classes by these names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.geo import Window
from swath.imagery.labels.labels import LabelSource, find_labels, read_labels
from swath.imagery.labels.value_names import classes_of_values, value_names
from swath.imagery.sources.find import find
from swath.maps.cog.cog import category_names_xml
from swath.maps.legend import MapClass
from swath.spec.fields.imagery import FilesImagery
from swath.spec.fields.labels import RasterLabels
from tests.imagery.rasters import write

VALUES = np.arange(9, dtype=np.uint8).reshape(1, 3, 3) % 3


def labelled(folder: Path, names: tuple[str, ...], **settings: dict[str, str]) -> LabelSource:
    scenes = find(FilesImagery(paths=(str(write(folder / "image.tif", np.ones((1, 3, 3), np.uint8))),)))
    return find_labels(RasterLabels(path=str(folder / "labels.tif"), **settings), scenes, names)


@pytest.fixture(params=["swath's metadata", "category names"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = write(tmp_path / "labels.tif", VALUES)
    if request.param == "category names":
        legend = tuple(MapClass(value, name, (0, 0, 0)) for value, name in enumerate(("other", "water & ice", "land")))
        (tmp_path / "labels.tif.aux.xml").write_text(category_names_xml(legend))
    else:
        with rasterio.open(path, "r+") as file:
            file.update_tags(1, CLASSES=json.dumps({"0": "other", "1": "water & ice", "2": "land"}))
    return tmp_path


def test_names_in_the_file_decide_and_are_noted(folder: Path) -> None:
    labels = labelled(folder, ("Land", "water & ice"))
    read = read_labels(labels, Window(0, 0, 3, 3))
    assert read.tolist() == np.choose(VALUES[0], [255, 1, 0]).tolist()
    assert labels.notes == (
        f"{folder}/labels.tif: by the names in the file 1 is water & ice, 2 is Land; labels.classes says otherwise",
    )


def test_the_spec_says_otherwise(folder: Path) -> None:
    labels = labelled(folder, ("land", "water"), classes={"0": "land", "1": "water"})
    assert read_labels(labels, Window(0, 0, 3, 3)).tolist() == np.choose(VALUES[0], [0, 1, 255]).tolist()
    assert labels.notes == ()


def test_names_that_are_no_classes_are_noted(folder: Path) -> None:
    labels = labelled(folder, ("a", "b", "c"))
    assert read_labels(labels, Window(0, 0, 3, 3)).tolist() == VALUES[0].tolist()
    assert "none of these is a class: value n is taken for the n-th class" in labels.notes[0]


def test_names_in_the_order_of_the_classes_need_no_note() -> None:
    assert classes_of_values({0: "land", 1: "water"}, ("land", "water"), "x") == ({0: "land", 1: "water"}, [])
    assert classes_of_values({}, ("land", "water"), "x") == ({0: "land", 1: "water"}, [])


def test_names_of_another_band_are_not_this_one_s(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.tif", np.ones((2, 3, 3), np.uint8))
    names = "<CategoryNames><Category/><Category>a</Category></CategoryNames>"
    text = f'<PAMDataset><PAMRasterBand band="2">{names}</PAMRasterBand></PAMDataset>'
    (tmp_path / "labels.tif.aux.xml").write_text(text)
    with rasterio.open(path) as file:
        assert value_names(file, str(path), 1) == {}
        assert value_names(file, str(path), 2) == {1: "a"}
