from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pystac
import pystac.validation
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from shapely.geometry import shape

from swath.imagery.geometry.footprint import grid_footprint
from swath.imagery.scene import Scene
from swath.maps.cog.cog import CogFacts
from swath.maps.legend import MapClass
from swath.maps.stac_item import ModelFacts, make_asset, make_item, write_item, write_model_item
from swath.storage.publication import PublishedFile

GRID = GeoBox((200, 100), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
FACTS = CogFacts(
    shape=(200, 100), bands=("water",), dtype="uint8", nodata=255.0, crs="EPSG:32633", transform=(10, 0, 500_000, 0, -10, 5_000_000),
    overviews=(2,), size=1000, valid=19_000, counts={0: 9000, 1: 10_000}, statistics=({"minimum": 0.0, "maximum": 1.0},), blocks=1,
)  # fmt: skip
FILES = (
    PublishedFile("map.tif", 1000, "ab" * 32),
    PublishedFile("map.parquet", 10, "cd" * 32),
    PublishedFile("preview.png", 5, "ef" * 32),
    PublishedFile("model.json", 5, "01" * 32),
)
CLASSES = (MapClass(0, "land", (230, 223, 200)), MapClass(1, "water", (43, 123, 186)))
MORE: dict[str, Any] = {
    "classes": CLASSES,
    "software": {"swath": "1"},
    "lineage": "water over a",
    "model": "model.json",
}


def scene(identity: str, when: str | None) -> Scene:
    return Scene(identity, (), when)


def test_the_item_is_valid_stac_and_survives_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "item.json"
    write_item(path, "out", GRID, FACTS, FILES, [scene("a", "2020-02-19T11:00:00Z")], **MORE)
    item = pystac.Item.from_file(str(path))
    core = pystac.validation.validate_dict(item.to_dict() | {"stac_extensions": []})
    assert core == ["https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/item.json"]
    assert str(item.datetime) == "2020-02-19 11:00:00+00:00"
    assert item.properties["derived_from"] == ["a"]
    assert {name: asset.href for name, asset in item.assets.items()} == {
        "map": "./map.tif", "vectors": "./map.parquet", "preview": "./preview.png",
    }  # fmt: skip


def test_projection_classes_and_checksums_are_read_by_the_extensions_own_accessors() -> None:
    item = make_item("out", GRID, FACTS, FILES, [scene("a", "2020-02-19T11:00:00Z")], **MORE)
    projection = ProjectionExtension.ext(item)
    assert (projection.code, projection.shape) == ("EPSG:32633", [200, 100])
    assert projection.transform == [10, 0, 500_000, 0, -10, 5_000_000]
    classes = ClassificationExtension.ext(item.assets["map"]).classes
    assert classes is not None
    assert [(c.value, c.name, c.color_hint) for c in classes] == [(0, "land", "E6DFC8"), (1, "water", "2B7BBA")]
    assert item.assets["map"].extra_fields["file:checksum"] == "1220" + "ab" * 32
    assert item.assets["map"].extra_fields["bands"][0]["nodata"] == 255


def test_several_times_become_an_interval_and_no_time_is_said() -> None:
    several = make_item(
        "out", GRID, FACTS, FILES, [scene("b", "2021-01-01T00:00:00Z"), scene("a", "2020-01-01T00:00:00Z")], **MORE
    )
    assert several.datetime is None
    assert several.properties["start_datetime"] < several.properties["end_datetime"]
    undated = make_item("out", GRID, FACTS, FILES, [scene("a", None)], **MORE)
    assert undated.datetime is None  # and no day of which nothing is known, such as 1970-01-01
    assert undated.properties["start_datetime"] == "1900-01-01T00:00:00Z"
    assert undated.properties["end_datetime"] == "9999-12-31T23:59:59Z"
    assert "does not say when" in undated.properties["description"]


def test_a_map_over_the_antimeridian_has_a_box_with_west_greater_than_east() -> None:
    grid = GeoBox((100, 400), Affine(1000, 0, 500_000, 0, -1000, 5_800_000), "EPSG:32660")
    item = make_item("out", grid, replace(FACTS, crs="EPSG:32660"), FILES, [scene("a", None)], **MORE)
    assert item.bbox is not None
    west, _, east, _ = item.bbox
    assert west > 0 > east
    assert item.geometry is not None
    assert item.geometry["type"] == "MultiPolygon"


@pytest.mark.parametrize("nodata", [float("nan"), 0.0])
def test_a_map_without_a_crs_and_one_of_values_have_items_too(nodata: float) -> None:
    facts = replace(FACTS, crs=None, nodata=nodata, counts={}, dtype="float32")
    item = make_item(
        "out",
        GeoBox((200, 100), Affine(1, 0, 0, 0, 1, 0), None),
        facts,
        FILES,
        [scene("a", None)],
        **(MORE | {"classes": ()}),
    )
    assert item.geometry is None
    assert "proj:code" not in item.properties
    assert item.assets["map"].extra_fields["bands"][0]["nodata"] == ("nan" if nodata else 0)


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_item(tmp_path / name, "out", GRID, FACTS, FILES, [scene("a", None)], **MORE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_footprint_has_few_points_and_is_true_to_a_tenth_of_a_pixel() -> None:
    item = make_item("out", GRID, FACTS, FILES, [scene("a", None)], **MORE)
    assert item.geometry is not None
    assert item.geometry["type"] == "Polygon"
    assert len(item.geometry["coordinates"][0]) < 20
    footprint = shape(item.geometry)
    exact = grid_footprint(GRID)
    assert footprint.hausdorff_distance(exact) < 1.5e-5  # degrees; a tenth of a pixel is 1.3e-5 east and 0.9e-5 north


def test_only_extensions_whose_schema_is_met_are_declared() -> None:
    """raster asks for one of its own fields, mlm for an asset with the model, which is in the model's own item."""
    item = make_item("out", GRID, FACTS, FILES, [scene("a", None)], **MORE)
    assert not [uri for uri in item.stac_extensions if "/mlm/" in uri]
    assert [band["raster:sampling"] for band in item.assets["map"].extra_fields["bands"]] == ["area"]


def test_the_map_links_to_the_item_of_its_model_which_carries_the_mlm_fields(tmp_path: Path) -> None:
    item = make_item("out", GRID, FACTS, FILES, [scene("a", None)], **MORE)
    (link,) = [link for link in item.links if link.rel == "derived_from"]
    assert link.href == "./model.json"
    fields = {
        "mlm:name": "water",
        "mlm:architecture": "U-Net",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [],
        "mlm:output": [],
    }
    facts = ModelFacts("water", "models/water.pt2", "ab" * 32, "torch.export.save", ("red", "nir"), fields)
    write_model_item(tmp_path / "model.json", facts)
    model = pystac.Item.from_file(str(tmp_path / "model.json"))
    assert pystac.validation.validate_dict(model.to_dict() | {"stac_extensions": []})
    assert MLMExtension.ext(model).mlm_name == "water"
    weights = model.assets["weights"]
    assert "mlm:model" in (weights.roles or [])
    assert weights.extra_fields["mlm:artifact_type"] == "torch.export.save"
    assert [band["name"] for band in weights.extra_fields["bands"]] == ["red", "nir"]


def test_every_file_has_an_asset_of_its_own_kind_and_probabilities_say_their_scale() -> None:
    names = [
        "map.tif",
        "map.tif.aux.xml",
        "map.parquet",
        "map.pmtiles",
        "probabilities.tif",
        "preview.png",
        "model.json",
    ]
    files = [PublishedFile(name, 10, "ab" * 32) for name in names]
    likely = replace(FACTS, bands=("land", "water"), nodata=255.0, statistics=({"minimum": 0.0},) * 2)
    item = make_item(
        "out", GRID, FACTS, files, [scene("a", "2020-02-19T11:00:00Z")], **MORE, probabilities=likely, scale=1 / 250
    )
    assert set(item.assets) == {"map", "names", "vectors", "tiles", "probabilities", "preview"}
    assert item.assets["tiles"].media_type == "application/vnd.pmtiles"
    bands = item.assets["probabilities"].extra_fields["bands"]
    assert [(band["name"], band["raster:scale"], band["nodata"]) for band in bands] == [
        ("land", 0.004, 255),
        ("water", 0.004, 255),
    ]
    assert "classification:classes" not in item.assets["probabilities"].extra_fields
    assert "raster:scale" not in item.assets["map"].extra_fields["bands"][0]
    assert pystac.validation.validate_dict(item.to_dict(include_self_link=False) | {"stac_extensions": []})


def test_files_of_several_grids_have_keys_of_their_own() -> None:
    keys = [make_asset(PublishedFile(name, 1, "")) [0] for name in (
        "map-29N.vrt", "map-28N.vrt", "map-29N.parquet", "map-29N-0-1.tif", "preview-29N.png", "map-29N.gti.gpkg",
    )]  # fmt: skip
    assert keys == ["index-29N", "index-28N", "vectors-29N", "map", "preview-29N", "tile-index-29N"]
