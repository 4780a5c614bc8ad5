"""Malformed STAC documents: each is refused with its file, its item and the field, or does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import ImageryError
from swath.imagery.sources.stac import find_scenes
from swath.spec.fields.imagery import StacImagery
from tests.attack.stac import good_item, plan
from tests.imagery.rasters import write


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("stac") / "scene.tif", np.full((1, 32, 32), 4, np.uint8), crs="EPSG:32601")


def test_the_unchanged_item_is_planned(raster: Path, tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps(good_item(str(raster))))
    plan(tmp_path / "item.json", cloud_cover=50.0, datetime="2019/2021")


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (("assets", "red", "href"), ["x"], "item one: not a valid STAC item: assets.red.href must be a text, not a list"),
        (("stac_extensions",), [None], "item one: not a valid STAC item: stac_extensions.0 must be a text, not missing or null"),
        (("assets", "red", "eo:bands"), "B04", "assets.red.eo:bands must be a list, not 'B04'"),
        (("assets", "red", "raster:bands", 0, "scale"), "x", "assets.red.raster:bands.0.scale must be a number, not 'x'"),
        (("properties", "eo:cloud_cover"), "3", "properties.eo:cloud_cover must be a number, not '3'"),
        (("properties", "datetime"), "soon", "properties.datetime must be a time such as 2024-06-01T10:30:00Z, not 'soon'"),
        (("assets", "red", "proj:shape"), [0, 3], "assets.red.proj:shape.0 must be a number from 1 to 2.14748e\\+09, not 0"),
        (("id",), 7, "not a valid STAC item: id must be a text, not 7"),
        (("links",), [{"rel": "root"}], "links.0.href must be a text, not missing or null"),
        (("geometry", "coordinates"), [[[1, "x"]]], "geometry.coordinates.0.0.1 must be a number, not 'x'"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_with_file_and_item(
    raster: Path, tmp_path: Path, way: tuple[Any, ...], value: Any, message: str
) -> None:
    document: Any = good_item(str(raster))
    parent = document
    for key in way[:-1]:
        parent = parent[key]
    parent[way[-1]] = value
    (tmp_path / "item.json").write_text(json.dumps(document))
    with pytest.raises(ImageryError, match=message) as failed:
        plan(tmp_path / "item.json", cloud_cover=50.0)
    assert "geometry" in message or "item.json" in str(failed.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not a valid STAC document: it must be an object, not a list"),
        (
            '{"type": "Catalog", "id": "c", "links": [{"rel": "child", "href": 3}]}',
            "links.0.href must be a text, not 3",
        ),
        ('{"type": "Catalog", "id": "c", "links": {}}', "links must be a list, not an object"),
        ('{"type": "FeatureCollection", "features": [[]]}', "not a valid STAC item: it must be an object, not a list"),
        ("[" * 100_000, "c.json"),
        ("\x00\xff", "c.json"),
    ],
)
def test_a_malformed_catalogue_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.json").write_text(content, encoding="latin-1")
    with pytest.raises(ImageryError, match=message) as failed:
        find_scenes(StacImagery(catalog=str(tmp_path / "c.json"), bands=("red",)), None, None)
    assert "c.json" in str(failed.value)


def test_one_description_in_place_of_a_list_of_them_is_that_of_the_band(raster: Path, tmp_path: Path) -> None:
    document = good_item(str(raster))
    document["assets"]["red"]["raster:bands"] = {"data_type": "uint8", "nodata": 7}
    (tmp_path / "item.json").write_text(json.dumps(document))
    found = find_scenes(StacImagery(catalog=str(tmp_path / "item.json"), bands=("red",)), None, None)
    assert found.scenes[0].bands[0].nodata == 7


@pytest.mark.parametrize("href", ["/", "missing.tif"])
def test_an_asset_that_is_no_file_is_named_with_its_item(raster: Path, tmp_path: Path, href: str) -> None:
    document = good_item(str(raster))
    document["assets"]["red"]["href"] = href
    (tmp_path / "item.json").write_text(json.dumps(document))
    with pytest.raises(ImageryError, match=r"^item one: assets\.red\.href: "):
        plan(tmp_path / "item.json")


def test_a_link_to_a_folder_is_named_with_the_catalogue(tmp_path: Path) -> None:
    links = [{"rel": "child", "href": "/"}]
    catalogue = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "", "links": links}
    (tmp_path / "c.json").write_text(json.dumps(catalogue))
    with pytest.raises(ImageryError, match=r"^/: not a file \(.*c\.json leads there\)"):
        find_scenes(StacImagery(catalog=str(tmp_path / "c.json"), bands=("red",)), None, None)


def test_a_link_to_a_file_that_is_no_json_is_named_with_the_catalogue(raster: Path, tmp_path: Path) -> None:
    links = [{"rel": "child", "href": str(raster.with_suffix(".txt"))}]
    raster.with_suffix(".txt").write_text("not JSON")
    catalogue = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "", "links": links}
    (tmp_path / "c.json").write_text(json.dumps(catalogue))
    with pytest.raises(ImageryError, match=r"scene\.txt: not JSON: .* \(.*c\.json leads there\)"):
        find_scenes(StacImagery(catalog=str(tmp_path / "c.json"), bands=("red",)), None, None)


def test_an_asset_whose_file_is_no_raster_is_named_with_its_item(raster: Path, tmp_path: Path) -> None:
    document = good_item(str(raster))
    document["assets"]["green"]["href"] = str(tmp_path / "item.json")
    (tmp_path / "item.json").write_text(json.dumps(document))
    with pytest.raises(
        ImageryError, match=r"item one.*item\.json: .*not a raster|item\.json: .*not a raster.*item one"
    ):
        plan(tmp_path / "item.json")


def test_a_link_to_no_file_is_named_with_the_catalogue(tmp_path: Path) -> None:
    links = [{"rel": "item", "href": "none.json"}]
    catalogue = {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "", "links": links}
    (tmp_path / "c.json").write_text(json.dumps(catalogue))
    with pytest.raises(
        ImageryError, match=r"none\.json: No such file or directory \(.*c\.json leads there\)"
    ) as failed:
        find_scenes(StacImagery(catalog=str(tmp_path / "c.json"), bands=("red",)), None, None)
    assert failed.value.remedy


def test_a_geometry_that_is_wrong_is_named_with_the_document_and_the_item(raster: Path, tmp_path: Path) -> None:
    document = good_item(str(raster))
    del document["geometry"]["coordinates"][0][4][0]
    (tmp_path / "item.json").write_text(json.dumps(document))
    with pytest.raises(ImageryError) as failed:
        plan(tmp_path / "item.json")
    assert failed.value.message.startswith(f"{tmp_path / 'item.json'}: item one: not a valid STAC item: geometry.coord")
