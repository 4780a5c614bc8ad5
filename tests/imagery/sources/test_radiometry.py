"""Numbers become reflectance once: by what an item says, or by what its product is known to mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.find import find
from swath.imagery.sources.radiometry import Radiometry, processing_baseline, radiometry
from swath.spec.fields.imagery import StacImagery
from tests.imagery.rasters import write


def item(shared: Path, name: str, **properties: Any) -> pystac.Item:
    """A provider's item; nothing is there to be opened."""
    document = json.loads((shared / f"data/stac/items_only/{name}.json").read_text())
    document["properties"] |= properties
    return pystac.Item.from_dict(document, href=f"https://stac.invalid/{name}.json", migrate=True)


def of(found: pystac.Item, key: str, **facts: Any) -> Radiometry:
    return radiometry(found, key, next(iter(found.assets[key].extra_fields.get("eo:bands") or [{}])), facts)


@pytest.mark.parametrize(("baseline", "offset"), [("02.12", 0), ("03.01", 0), ("04.00", -0.1), ("05.11", -0.1)])
def test_planetary_computer_says_only_the_baseline(shared: Path, baseline: str, offset: float) -> None:
    found = item(shared, "S2B_T06VVN_planetary_computer", **{"s2:processing_baseline": baseline})
    for key in ("B01", "B04", "B8A", "B12"):
        assert (of(found, key).scale, of(found, key).offset, of(found, key).nodata) == (0.0001, offset, 0)
    assert [key for key in ("AOT", "WVP", "SCL", "visual") if of(found, key).scale is not None] == []
    assert any("1000 is subtracted" in note for note in of(found, "B04").notes) == bool(offset)


def test_an_offset_that_is_said_or_in_the_pixels_is_not_added_to(shared: Path) -> None:
    found = item(shared, "S2A_T01WCP_antimeridian")  # of baseline 05.09, and says its offset
    assert of(found, "red", scale=0.0001, offset=-0.1).offset == -0.1
    assert of(found, "red", scale=0.0001, offset=0).offset == 0
    assert of(found, "red", scale=0.0001).offset == -0.1
    found.properties["earthsearch:boa_offset_applied"] = True
    assert of(found, "red", scale=0.0001, offset=-0.1).offset == 0
    assert of(found, "red", scale=0.0001).offset == 0
    found.properties["earthsearch:boa_offset_applied"] = False
    assert of(found, "red", scale=0.0001).offset == -0.1


def test_old_earth_search_items_say_nothing_and_have_no_offset(shared: Path) -> None:
    found = item(shared, "S2A_28QCH_earthsearch_v0")
    assert of(found, "B04") == Radiometry(0.0001, 0.0, 0.0)
    assert of(item(shared, "S2A_28QCH_earthsearch_v0", **{"sentinel:boa_offset_applied": True}), "B04").offset == 0


def test_without_a_baseline_the_day_decides_and_later_ones_are_not_guessed(shared: Path) -> None:
    name = {"sentinel:product_id": None}  # it says the baseline too
    assert of(item(shared, "S2A_28QCH_earthsearch_v0", **name), "B04").offset == 0
    found = item(shared, "S2A_28QCH_earthsearch_v0", **name, datetime="2022-03-01T00:00:00Z")
    assert of(found, "B04").scale is None
    assert "not known" in of(found, "B04").notes[0]
    found.id = "S2A_MSIL2A_20220301T115221_N0400_R123_T28QCH_20220301T140000"
    assert processing_baseline(found) == (4, 0)
    assert of(found, "B04").offset == -0.1


@pytest.mark.parametrize("name", ["LC08_028030_usgs", "LT05_087017_antimeridian"])
def test_usgs_items_leave_the_scale_of_collection_2_to_be_known(shared: Path, name: str) -> None:
    found = item(shared, name)
    for key in ("red", "nir08", "swir22"):
        assert of(found, key) == Radiometry(2.75e-05, -0.2, 0.0)
    assert of(found, "red", scale=1.0, offset=0.0) == Radiometry(1.0, 0.0, 0.0)
    assert of(found, "qa_pixel").scale is None
    found.properties["landsat:collection_number"] = "01"
    found.id = found.id.replace("_02_T", "_01_T")
    assert of(found, "red").scale is None


CASES = {
    "only the baseline": (3000, {}, {}, ()),
    "the item says it": (3000, {}, {"scale": 0.0001, "offset": -0.1}, ()),
    "the item says half": (3000, {}, {"scale": 0.0001}, ()),
    "the file says it": (3000, {}, {}, (0.0001, -0.1)),
    "both say it": (3000, {}, {"scale": 0.0001, "offset": -0.1}, (0.0001, -0.1)),
    "in the pixels, still said": (
        2000,
        {"earthsearch:boa_offset_applied": True},
        {"scale": 0.0001, "offset": -0.1},
        (),
    ),
    "in the pixels": (2000, {"earthsearch:boa_offset_applied": True}, {}, ()),
    "an old baseline": (2000, {"s2:processing_baseline": "02.12"}, {}, ()),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_ground_has_the_same_reflectance_whoever_says_what(shared: Path, tmp_path: Path, case: str) -> None:
    number, properties, band, tags = CASES[case]
    path = write(tmp_path / "B04.tif", np.array([[[number, 0]]], np.uint16))
    if tags:
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (tags[0],), (tags[1],)
    document = json.loads((shared / "data/stac/items_only/S2B_T06VVN_planetary_computer.json").read_text())
    document["properties"] |= {"s2:processing_baseline": "04.00"} | properties
    document["assets"] = {
        "B04": document["assets"]["B04"] | {"href": str(path)} | ({"raster:bands": [band]} if band else {})
    }
    (tmp_path / "item.json").write_text(json.dumps(document))
    scenes = find(StacImagery(catalog=str(tmp_path / "item.json"), bands=("red",)))
    pixels, valid = read_mosaic(scenes, Window(0, 0, 1, 2), reflectance=True)
    assert pixels.tolist() == [[[pytest.approx(0.2), 0]]]
    assert valid.tolist() == [[True, False]]


def test_the_spec_has_the_last_word(shared: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "B04.tif", np.array([[[3000]]], np.uint16))
    document = json.loads((shared / "data/stac/items_only/S2B_T06VVN_planetary_computer.json").read_text())
    document["properties"] |= {"s2:processing_baseline": "04.00"}
    document["assets"]["B04"]["href"] = str(path)
    (tmp_path / "item.json").write_text(json.dumps(document))
    imagery = StacImagery(catalog=str(tmp_path / "item.json"), bands=("B04",), scale=0.001, offset=0.5)
    pixels, _ = read_mosaic(find(imagery), Window(0, 0, 1, 1), reflectance=True)
    assert pixels.tolist() == [[[3.5]]]
    document["id"] = "S2B_06VVN"
    document["properties"] |= {
        "s2:processing_baseline": None,
        "s2:product_uri": None,
        "datetime": "2023-01-01T00:00:00Z",
    }
    (tmp_path / "item.json").write_text(json.dumps(document))
    unknown = find(StacImagery(catalog=str(tmp_path / "item.json"), bands=("B04",)))
    with pytest.raises(ImageryError, match=r"Set imagery.scale"):
        read_mosaic(unknown, Window(0, 0, 1, 1), reflectance=True)
