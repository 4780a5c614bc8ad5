"""The files of a map are published together, and none is left when the map is not finished."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from swath.maps.legend import MapClass
from swath.maps.map_files import MapFiles
from swath.maps.region import map_region
from swath.spec.fields.output import Output
from tests.maps.case import Case


def map_files(case: Case, folder: Path) -> MapFiles:
    layout, regions = case.layout(64), case.regions(32)
    results = [map_region(region, case.scenes, case.model, None, layout) for region in regions]
    legend = tuple(
        MapClass(value, f"class {value}", (value, 90, 90)) for value in range(len(case.model.contract.classes))
    )
    return MapFiles(
        results, regions, (case.scenes,), layout, Output.model_validate({"to": str(folder)}), legend,
        bands=("map",), subtitle="", model=None, lineage="made in a test",
    )  # fmt: skip


def test_raster_vectors_preview_and_item_appear_together_and_name_each_other(case: Case, tmp_path: Path) -> None:
    with map_files(case, tmp_path / "lake") as files:
        files.add("notes.csv", "a,b\n")
        facts = files.write()
        assert not (tmp_path / "lake").exists()
        published = files.publish({"valid_pixels": facts.valid})
    names = {path.name for path in (tmp_path / "lake").iterdir()}
    assert names == {"map.tif", "map.tif.aux.xml", "map.parquet", "preview.png", "notes.csv", "item.json"}
    assert published.files[-1].name == "item.json"
    assert published.about == {"valid_pixels": int((case.pixels != 0).any(axis=0).sum())}
    with rasterio.open(tmp_path / "lake/map.tif") as file:
        assert np.array_equal(file.read(), case.whole)
    item = json.loads((tmp_path / "lake/item.json").read_text())
    assert item["id"] == "lake"
    assert {asset["href"] for asset in item["assets"].values()} == {f"./{name}" for name in names - {"item.json"}}


def test_copies_of_the_vectors_and_a_style_are_assets_of_the_item(case: Case, tmp_path: Path) -> None:
    files = map_files(case, tmp_path / "lake")
    output = {"to": str(tmp_path / "lake"), "vectors": {"also": ["geopackage", "flatgeobuf"]}, "style": True}
    files = dataclasses.replace(files, output=Output.model_validate(output))
    with files:
        files.write()
        files.publish({})
    names = {path.name for path in (tmp_path / "lake").iterdir()}
    assert {"map.gpkg", "map.fgb", "map.qml"} <= names
    assets = json.loads((tmp_path / "lake/item.json").read_text())["assets"]
    assert {assets[key]["href"] for key in ("geopackage", "flatgeobuf", "style")} == {
        "./map.gpkg",
        "./map.fgb",
        "./map.qml",
    }
    polygons = geopandas.read_parquet(tmp_path / "lake/map.parquet")
    assert len(geopandas.read_file(tmp_path / "lake/map.gpkg")) == len(polygons) > 0
    assert (tmp_path / "lake/map.qml").read_text().count("<paletteEntry ") == len(files.legend)


def test_a_map_that_is_not_published_leaves_nothing(case: Case, tmp_path: Path) -> None:
    def stopped() -> None:
        with map_files(case, tmp_path / "lake") as files:
            files.write()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []
