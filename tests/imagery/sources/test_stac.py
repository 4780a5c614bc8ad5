"""Scenes from STAC: which items pass, which asset a band is, and what the metadata says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pystac
import pytest

from swath.errors import ImageryError
from swath.imagery.scene import Scene
from swath.imagery.sources.stac import find_scenes, scene_of
from swath.imagery.sources.stac_items import item_footprint
from swath.spec.fields.imagery import Mask, StacImagery
from tests.imagery.sources.items import make_item, write_items

TILE = "S2A_29RKH_20200219_0_L2A"
TWIN = "S2A_29RKH_as_28N_derived"


def spec(shared: Path, **said: Any) -> StacImagery:
    return StacImagery(catalog=str(shared / "data/stac/catalog.json"), **said)


def item(shared: Path, name: str) -> pystac.Item:
    """A provider's item as its server gives it: relative hrefs are addresses, nothing is there to be opened."""
    document = json.loads((shared / f"data/stac/items_only/{name}.json").read_text())
    return pystac.Item.from_dict(document, href=f"https://stac.invalid/{name}.json", migrate=True)


def scene(found: pystac.Item, *names: str, **said: Any) -> tuple[Scene, list[str]]:
    notes: list[str] = []
    return scene_of(found, names, StacImagery(api="http://localhost", **said), notes), notes


def ids(found: list[pystac.Item]) -> list[str]:
    return [one.id for one in found]


def test_bands_are_found_by_asset_key_common_name_and_band_name(shared: Path) -> None:
    for names in (("B04", "B11"), ("red", "swir16"), ("b04", "SWIR16")):
        found = find_scenes(spec(shared, ids=(TILE,), bands=names), None, None).scenes[0]
        assert [Path(band.href).name for band in found.bands] == ["B04.tif", "B11.tif"]
    assert found.datetime == "2020-02-19T11:34:25.405000Z"
    assert found.cloud_cover == 4.051854


def test_an_unknown_band_is_answered_with_the_nearest_and_the_list(shared: Path) -> None:
    with pytest.raises(ImageryError, match=r"no band 'swir1' \(did you mean swir16\?\)\n  It has: B02,"):
        find_scenes(spec(shared, ids=(TILE,), bands=("swir1",)), None, None)
    with pytest.raises(ImageryError, match="4 is a number"):
        find_scenes(spec(shared, ids=(TILE,), bands=(4,)), None, None)
    with pytest.raises(ImageryError, match="say which bands"):
        find_scenes(spec(shared, ids=(TILE,)), None, None)


def test_metadata_makes_the_band_without_opening_the_file(shared: Path) -> None:
    found, _ = scene(item(shared, "S2A_T01WCP_antimeridian"), "red", mask=Mask(band="scl", kind="scl"))
    red = found.bands[0]
    assert red.href.endswith("R10m/T01WCP_20230625T234621_B04_10m.jp2")  # of four assets with that name: the finest
    assert (red.dtype, red.nodata, red.scale, red.offset) == ("uint16", 0, 0.0001, -0.1)
    assert red.geobox.shape == (10980, 10980)
    assert str(red.geobox.crs) == "EPSG:32601"
    assert found.quality is not None
    assert found.quality.geobox.shape == (5490, 5490)


def test_the_landsat_items_say_their_offset(shared: Path) -> None:
    found = find_scenes(spec(shared, datetime="2019", bands=("red",)), None, None)
    band = found.scenes[0].bands[0]
    assert (band.scale, band.offset) == (2.75e-5, -0.2)
    mine = find_scenes(spec(shared, datetime="2019", bands=("red",), scale=2.0), None, None)
    assert (mine.scenes[0].bands[0].scale, mine.scenes[0].bands[0].offset) == (2, -0.2)


@pytest.mark.parametrize(("applied", "offset"), [(True, 0), (False, -0.1), (None, -0.1)])
def test_an_offset_that_is_in_the_pixels_is_not_applied_again(
    shared: Path, applied: bool | None, offset: float
) -> None:
    found = item(shared, "S2A_T01WCP_antimeridian")
    if applied is not None:
        found.properties["earthsearch:boa_offset_applied"] = applied
    one, notes = scene(found, "red")
    assert (one.bands[0].scale, one.bands[0].offset) == (0.0001, offset)
    assert any("not applied again" in note for note in notes) == bool(applied)


def test_stac_1_1_bands_are_read_like_the_old_fields(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / f"data/stac/{TILE}/{TILE}.json").read_text())
    document["stac_version"] = "1.1.0"
    document["stac_extensions"] = []
    code = document["properties"].pop("proj:epsg")
    document["properties"]["proj:code"] = f"EPSG:{code}"
    for asset in document["assets"].values():
        old = asset.pop("raster:bands")[0]
        eo = asset.pop("eo:bands", [{}])[0]
        asset["href"] = str(shared / f"data/stac/{TILE}" / asset["href"])
        asset["data_type"] = old["data_type"]
        asset["bands"] = [
            {
                "name": eo.get("name", "scl"),
                "eo:common_name": eo.get("common_name"),
                "nodata": old["nodata"],
                "raster:scale": old.get("scale"),
                "raster:offset": -0.1,
            }
        ]
    (tmp_path / "item.json").write_text(json.dumps(document))
    new = find_scenes(StacImagery(catalog=str(tmp_path / "item.json"), bands=("nir",)), None, None)
    old_one = find_scenes(spec(shared, ids=(TILE,), bands=("nir",)), None, None)
    band, before = new.scenes[0].bands[0], old_one.scenes[0].bands[0]
    assert (band.geobox, band.dtype, band.nodata, band.scale) == (before.geobox, "uint16", 0, 0.0001)
    assert band.offset == -0.1


def test_what_the_item_leaves_out_is_read_from_the_file(shared: Path, tmp_path: Path) -> None:
    document = json.loads((shared / f"data/stac/{TILE}/{TILE}.json").read_text())
    for asset in document["assets"].values():
        asset.pop("proj:transform")
        asset.pop("raster:bands")
        asset["href"] = str(shared / f"data/stac/{TILE}" / asset["href"])
    (tmp_path / "item.json").write_text(json.dumps(document))
    band = find_scenes(StacImagery(catalog=str(tmp_path / "item.json"), bands=("red",)), None, None).scenes[0].bands[0]
    told = find_scenes(spec(shared, ids=(TILE,), bands=("red",)), None, None).scenes[0].bands[0]
    assert (band.geobox, band.dtype, band.nodata) == (told.geobox, told.dtype, told.nodata)
    assert (band.scale, band.offset) == (0.0001, 0)  # a product of 2020, before baseline 04.00


def test_an_item_collection_is_read_and_its_doubles_counted_once(shared: Path, tmp_path: Path) -> None:
    features = []
    for name in (TILE, TWIN, TILE):
        document = json.loads((shared / f"data/stac/{name}/{name}.json").read_text())
        for asset in document["assets"].values():
            asset["href"] = f"http://127.0.0.1:1/{asset['href']}"
        features.append(document)
    path = tmp_path / "found.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = find_scenes(StacImagery(catalog=str(path), bands=("red",)), ("red",), None)
    assert [one.id for one in found.scenes] == [TILE, TWIN]


def test_every_real_item_can_be_parsed(shared: Path) -> None:
    for path in sorted((shared / "data/stac/items_only").glob("*.json")):
        found = item(shared, path.stem)
        assert item_footprint(found).area > 0
        names = [n for n in ("red", "B04") if n in found.assets]
        if "raster:bands" in found.assets[names[0]].extra_fields:
            one, _ = scene(found, names[0])
            assert one.bands[0].geobox.shape[0] > 1000


def test_notes_of_a_search_whose_items_all_fail_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    versions = [{"s2:processing_baseline": each, "platform": "s", "grid:code": "MGRS-1"} for each in ("02.00", "05.00")]
    items = [make_item(f"i{number}", {"nir": "./a.tif"}, **each) for number, each in enumerate(versions)]
    with pytest.raises(ImageryError, match="item i1: no band 'red'"):
        find_scenes(StacImagery(catalog=write_items(tmp_path, *items), bands=("red",)), None, None)
    assert "2 items show one scene" in caplog.text
