"""Malformed STAC documents: each is refused with its file, its item and the field, or does no harm."""

from __future__ import annotations

import copy
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import box

from swath.collection.inventory import Inventory
from swath.collection.load_plan import plan_load
from swath.errors import ImageryError, SwathError
from swath.imagery.sources.stac import find_scenes
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import Mask, StacImagery
from tests.imagery.rasters import write

MUTANTS = 200
WRONG: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**30, 2**31, 1.5, 1e308, -1e308, float("nan"), float("inf"), "", " ", "x", "é\u202e", "\x00",
    "\x1b[31m", "../../x", "/proc/self/environ", "file:///dev/null", "http://[", "http://x:99999/", "data:,x", "/", ".",
    "9" * 5000, [], [None], [[]], [1], ["x"], [{}], {}, {"x": None}, {"type": "Polygon"}, [[[[[[1]]]]]],
)  # fmt: skip


def good_item(raster: Path) -> dict[str, Any]:
    """An item of STAC 1.0 with the fields that catalogues write, of which one asset has to be opened."""
    stated = {
        "proj:epsg": 32601, "proj:shape": [32, 32], "proj:transform": [10.0, 0, 500000.0, 0, -10.0, 5000000.0, 0, 0, 1],
        "raster:bands": [{"data_type": "uint8", "nodata": 0, "scale": 0.1, "offset": -1.0, "spatial_resolution": 10}],
        "eo:bands": [{"name": "B04", "common_name": "red"}], "gsd": 10, "type": "image/tiff", "roles": ["data"],
    }  # fmt: skip
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": "one", "collection": "c",
        "geometry": {"type": "Polygon", "coordinates": [[[-177, 45], [-176, 45], [-176, 46], [-177, 46], [-177, 45]]]},
        "bbox": [-177, 45, -176, 46],
        "properties": {
            "datetime": "2020-01-01T00:00:00Z", "start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-01-01T00:00:00Z",
            "eo:cloud_cover": 3.0, "platform": "sentinel-2a", "constellation": "sentinel-2", "s2:processing_baseline": "04.00",
            "earthsearch:boa_offset_applied": False, "updated": "2020-01-01T00:00:00Z",
        },
        "links": [{"rel": "self", "href": "https://stac.invalid/one.json"}],
        "assets": {
            "red": {"href": str(raster), **stated},
            "green": {"href": str(raster), "roles": ["data"]},
            "scl": {"href": str(raster), **stated, "eo:bands": []},
        },
    }  # fmt: skip


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every member of a document, at all depths."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*place, key)
        yield from places(value[key], (*place, key))


def mutant(document: dict[str, Any], seed: int) -> tuple[dict[str, Any], str]:
    """A copy with one to three members replaced, removed or doubled, and what was done."""
    source = random.Random(seed)
    changed, done = copy.deepcopy(document), []
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        *way, last = source.choice(list(places(changed)))
        parent: Any = changed
        for key in way:
            parent = parent[key]
        if source.random() < 0.15:
            del parent[last]
            done.append(f"without {way} {last}")
        else:
            parent[last] = copy.deepcopy(source.choice(WRONG))
            done.append(f"{way} {last} = {str(parent[last])[:60]!r}")
    return changed, ", ".join(done)


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("stac") / "scene.tif", np.full((1, 32, 32), 4, np.uint8), crs="EPSG:32601")


def plan(path: Path, **more: Any) -> None:
    imagery = StacImagery(catalog=str(path), bands=("red", "green"), mask=Mask(band="scl", kind="scl"), **more)
    plan_load(
        imagery, Inventory(), area=Area(wkt=box(-180, 44, -175, 47).wkt), grid=None, composite=None, physical=False, margin=0,
        blocksize=512, sheet=8192,
    )  # fmt: skip


def outcome(path: Path) -> str:
    """What a plan of the mutant came to, when it may not come to that; else an empty text."""
    start = time.monotonic()
    try:
        plan(path, cloud_cover=50.0, datetime="2019/2021")
    except SwathError as error:
        return "" if error.exit_code == 2 else f"exit code {error.exit_code}: {error}"
    except Exception as error:  # noqa: BLE001 - what this test looks for
        return f"raised {error!r}"
    return "" if time.monotonic() - start < 10 else "took more than 10 s"


@pytest.mark.parametrize("seed", range(10))
def test_a_mutated_item_is_refused_with_exit_code_2_or_does_no_harm(raster: Path, tmp_path: Path, seed: int) -> None:
    good, path, wrong = good_item(raster), tmp_path / "item.json", []
    for number in range(seed * MUTANTS // 10, (seed + 1) * MUTANTS // 10):
        document, done = mutant(good, number)
        path.write_text(json.dumps(document))
        if said := outcome(path):
            wrong.append(f"mutant {number} ({done}): {said}")
    assert not wrong, "\n".join(wrong)


def test_the_unchanged_item_is_planned(raster: Path, tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps(good_item(raster)))
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
    document: Any = good_item(raster)
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
    document = good_item(raster)
    document["assets"]["red"]["raster:bands"] = {"data_type": "uint8", "nodata": 7}
    (tmp_path / "item.json").write_text(json.dumps(document))
    found = find_scenes(StacImagery(catalog=str(tmp_path / "item.json"), bands=("red",)), None, None)
    assert found.scenes[0].bands[0].nodata == 7
