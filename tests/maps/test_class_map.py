"""Existing maps: their classes come from the item, from the file, or from the spec."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.errors import ImageryError
from swath.maps.class_map import open_class_map
from swath.spec.fields.labels import LabelClass
from tests.imagery.rasters import write

PIXELS = np.array([[[0, 1], [1, 255]]], np.uint8)


def test_a_raster_takes_its_classes_from_the_spec_or_says_how_to_name_them(tmp_path: Path) -> None:
    path = write(tmp_path / "lake.tif", PIXELS, nodata=255)
    with pytest.raises(ImageryError, match=r"lake\.tif: does not say what its values mean"):
        open_class_map(str(path))
    found = open_class_map(str(path), (LabelClass(name="land"), LabelClass(name="water")))
    assert [(each.value, each.name) for each in found.classes] == [(0, "land"), (1, "water")]
    assert (found.scene.id, found.scene.datetime) == ("lake", None)
    assert len(found.scenes.scenes) == 1


def test_a_file_of_swath_names_its_classes_and_the_spec_may_colour_them(tmp_path: Path) -> None:
    path = write(tmp_path / "map.tif", PIXELS, nodata=255)
    with rasterio.open(path, "r+") as file:
        file.update_tags(1, CLASSES=json.dumps({"0": "land", "1": "water"}))
        file.write_colormap(1, {0: (1, 2, 3, 255), 1: (4, 5, 6, 255)})
    found = open_class_map(str(path), (LabelClass(name="water", color="#0A0B0C"),))
    assert [(each.name, each.color) for each in found.classes] == [("land", (1, 2, 3)), ("water", (10, 11, 12))]


def test_a_folder_is_read_by_its_item(tmp_path: Path) -> None:
    write(tmp_path / "map.tif", PIXELS, nodata=255)
    asset = {"href": "./map.tif", "classification:classes": [{"value": 1, "name": "water", "color_hint": "1E5AD2"}]}
    item = {"id": "lake-2024", "assets": {"map": asset}, "properties": {"datetime": "2024-06-01T00:00:00Z"}}
    (tmp_path / "item.json").write_text(json.dumps(item))
    found = open_class_map(str(tmp_path))
    assert [(each.value, each.name, each.hex) for each in found.classes] == [(1, "water", "#1e5ad2")]
    assert (found.scene.id, found.scene.datetime) == ("lake-2024", "2024-06-01T00:00:00Z")


def test_a_folder_without_a_map_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match="no map is published there"):
        open_class_map(str(tmp_path))


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "[" * 100_000,
        '{"links": [{}]}',
        '{"assets": {"map": {}}}',
        '{"assets": {"map": {"href": "a.tif"}}}',
        "null",
        "1",
    ],
)
def test_a_document_of_another_form_is_an_error_with_the_folder(tmp_path: Path, document: str) -> None:
    (tmp_path / "item.json").write_text(document)
    with pytest.raises(ImageryError, match=str(tmp_path)):
        open_class_map(str(tmp_path))


@pytest.mark.parametrize(
    "href", ["../other/map.tif", "{0}/other/map.tif", "./a/../../other/map.tif", "..", "*.tif", "http://127.0.0.1:1/map.tif",
             "/vsicurl/http://127.0.0.1:1/map.tif", "file://{0}/other/map.tif"],
)  # fmt: skip
@pytest.mark.parametrize("field", ["asset", "link"])
def test_a_published_item_leads_to_no_file_outside_of_its_folder(tmp_path: Path, href: str, field: str) -> None:
    for name in ("map", "other"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "map.tif", PIXELS, nodata=255)
    asset = {"href": href.format(tmp_path), "classification:classes": [{"value": 1, "name": "water"}]}
    document: dict[str, object] = {"id": "x", "assets": {"map": asset}}
    if field == "link":
        document = {"id": "x", "links": [{"rel": "item", "href": href.format(tmp_path)}]}
    (tmp_path / "map" / ("item.json" if field == "asset" else "collection.json")).write_text(json.dumps(document))
    with pytest.raises(ImageryError, match="is not a file beside it"):
        open_class_map(str(tmp_path / "map"))


def test_a_pipe_in_place_of_the_document_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "item.json")
    with pytest.raises(ImageryError, match="it is a named pipe, not a file"):
        open_class_map(str(tmp_path))
