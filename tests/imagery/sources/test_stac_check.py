"""Items that describe their files wrongly: the file's grid and dtype are used, and the difference is noted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning

from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.imagery.sources.stac_check import FileCheck, FileCheckLimits
from swath.spec.fields.imagery import StacImagery
from tests.imagery.rasters import write
from tests.imagery.sources.items import make_item, write_items

TRUE = {
    "proj:shape": [4, 6],
    "proj:transform": [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0],
    "proj:code": "EPSG:32633",
    "data_type": "uint16",
}
BOX = GeoBox((4, 6), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")


def scenes(folder: Path, *described: dict[str, Any], href: str = "./a.tif") -> Scenes:
    items = [make_item(f"i{n}", {"red": TRUE | each | {"href": href}}) for n, each in enumerate(described)]
    return find(StacImagery(catalog=write_items(folder, *items), bands=("red",)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "a.tif", np.ones((1, 4, 6), np.uint16))
    return tmp_path


def test_a_true_description_is_used_without_a_note(folder: Path) -> None:
    found = scenes(folder, {}, {"proj:transform": [10.00000001, 0, 500_000, 0, -10, 5_000_000]})
    assert found.notes == ()
    assert found.scenes[1].bands[0].geobox.affine.a == 10.00000001


@pytest.mark.parametrize(
    "wrong",
    [
        {"proj:transform": [500_000.0, 10.0, 0.0, 5_000_000.0, 0.0, -10.0]},  # GDAL's order
        {"proj:transform": [10.0, 0.0, 500_005.0, 0.0, -10.0, 4_999_995.0]},  # half a pixel
        {"proj:shape": [6, 4]},
        {"proj:code": "EPSG:32632"},
        {"data_type": "uint8"},
    ],
    ids=["gdal order", "half a pixel", "shape", "crs", "dtype"],
)
def test_what_differs_is_taken_from_the_file_with_a_note(folder: Path, wrong: dict[str, Any]) -> None:
    found = scenes(folder, wrong)
    band = found.scenes[0].bands[0]
    assert (band.geobox, band.dtype) == (BOX, "uint16")
    (note,) = found.notes
    assert note.startswith("item i0: asset red is described as ")
    assert (
        "its file is 4 x 6 pixels of uint16 with the transform [10, 0, 500000, 0, -10, 5000000] in EPSG:32633" in note
    )
    assert note.endswith("the file's grid and dtype are used")


def test_a_wrong_grid_is_noted_also_where_the_item_does_not_state_a_dtype(folder: Path) -> None:
    found = scenes(folder, {"proj:code": "EPSG:32632", "data_type": None})
    assert (found.scenes[0].bands[0].geobox, found.scenes[0].bands[0].dtype) == (BOX, "uint16")
    (note,) = found.notes
    assert "in EPSG:32632, its file is 4 x 6 pixels of uint16" in note
    assert scenes(folder, {"data_type": None}).notes == ()


def test_a_file_without_a_georeference_lies_where_its_item_says(tmp_path: Path) -> None:
    with pytest.warns(NotGeoreferencedWarning):
        write(tmp_path / "a.tif", np.ones((1, 4, 6), np.uint16), crs=None, transform=Affine.identity())
    for described in ({"data_type": None}, {}):
        assert scenes(tmp_path, described).scenes[0].bands[0].geobox == BOX


def test_items_of_a_collection_are_one_note(folder: Path) -> None:
    wrong = {"data_type": "int16"}
    (note,) = scenes(folder, wrong, wrong, wrong).notes
    assert note.startswith("item i0")
    assert "2 more files" in note


def test_of_remote_files_one_per_key_is_compared_and_all_once_one_differs(
    folder: Path, web: Callable[[], tuple[str, Any]]
) -> None:
    address, server = web()
    write(server.folder / "a.tif", np.ones((1, 4, 6), np.uint16))
    found = scenes(folder, {}, {"data_type": "int16"}, href=f"{address}/a.tif")
    assert [scene.bands[0].dtype for scene in found.scenes] == ["uint16", "int16"]  # the second is not opened
    assert found.notes == ()
    found = scenes(folder, {"data_type": "uint8"}, {"data_type": "int16"}, href=f"{address}/a.tif")
    assert [scene.bands[0].dtype for scene in found.scenes] == ["uint16", "uint16"]


def test_beyond_the_limit_one_file_per_key_is_compared() -> None:
    import pystac

    check = FileCheck(FileCheckLimits(local_files=1))
    item = pystac.Item.from_dict(make_item("x", {"red": "./a.tif"}))
    assert check.wants(item, "red", "/a.tif")
    check.compare(item, "red", BOX, "uint16", lambda: _band())
    assert not check.wants(item, "red", "/a.tif")
    assert check.wants(item, "nir", "/a.tif")
    check.compare(item, "nir", BOX, "uint8", lambda: _band())
    assert check.wants(item, "red", "/a.tif")


def _band() -> Any:
    from swath.imagery.scene import Band

    return Band("red", "/a.tif", 1, BOX, "uint16")


def test_compare_all_opens_every_remote_file(folder: Path, web: Callable[[], tuple[str, Any]]) -> None:
    address, server = web()
    write(server.folder / "a.tif", np.ones((1, 4, 6), np.uint16))
    items = [
        make_item(f"i{n}", {"red": TRUE | {"href": f"{address}/a.tif", "data_type": t}})
        for n, t in enumerate(("uint16", "int16"))
    ]
    found = find(StacImagery(catalog=write_items(folder, *items), bands=("red",), compare="all"))
    assert [scene.bands[0].dtype for scene in found.scenes] == ["uint16", "uint16"]


def scaled(folder: Path, scale: float, offset: float, nodata: float | None = None) -> None:
    import rasterio

    with rasterio.open(folder / "a.tif", "r+") as file:
        file.scales, file.offsets, file.nodata = [scale], [offset], nodata


@pytest.mark.parametrize("described", [{}, {"raster:scale": 0.5}, {"raster:bands": [{"scale": 0.5}]}])
@pytest.mark.parametrize("remote", [False, True])
def test_scale_and_offset_that_the_file_alone_states_are_taken_from_it(
    folder: Path, web: Callable[[], tuple[str, Any]], described: dict[str, Any], remote: bool
) -> None:
    """Of every file: with an item that states grid and dtype the offset was left out in silence, and a scale was "not known"."""
    address, server = web()
    scaled(folder, 0.5, -2)
    (server.folder / "a.tif").write_bytes((folder / "a.tif").read_bytes())
    found = scenes(folder, described, described, href=f"{address}/a.tif" if remote else "./a.tif")
    assert [(scene.bands[0].scale, scene.bands[0].offset) for scene in found.scenes] == [(0.5, -2)] * 2
    assert found.notes == ()


def test_a_scale_that_differs_from_the_file_s_is_noted(folder: Path) -> None:
    scaled(folder, 0.5, -2)
    found = scenes(folder, {"raster:scale": 0.25}, {"raster:scale": 0.25})
    assert (found.scenes[0].bands[0].scale, found.scenes[0].bands[0].offset) == (0.25, 0)
    assert found.notes == (
        "item i0: asset red has values of number * 0.25 + 0, in its file number * 0.5 - 2: the former is used; imagery.scale and "
        "offset say otherwise",
    )


def test_a_nodata_value_that_differs_from_the_file_s_is_noted(folder: Path) -> None:
    scaled(folder, 1, 0, 7)
    assert scenes(folder, {"nodata": 0}).notes == ("item i0: asset red has nodata 0, in its file 7: both are no data",)
    assert scenes(folder, {"nodata": 0, "proj:shape": None}).notes == scenes(folder, {"nodata": 0}).notes
    assert scenes(folder, {"nodata": 7}).notes == scenes(folder, {}).notes == ()


def test_the_crs_of_an_asset_goes_before_that_of_its_item(folder: Path) -> None:
    """Whichever field each of them uses."""
    asset = {key: value for key, value in TRUE.items() if key != "proj:code"} | {"proj:epsg": 32633, "href": "./a.tif"}
    items = write_items(folder, make_item("x", {"red": asset}, **{"proj:code": "EPSG:32632"}))
    found = find(StacImagery(catalog=items, bands=("red",)))
    assert found.scenes[0].bands[0].geobox == BOX
    assert found.notes == ()


@pytest.mark.parametrize(("moment", "kept"), [("2023-06-30T23:59:59.500Z", True), ("2023-07-01T00:00:00Z", False)])
def test_a_month_has_its_last_half_second(folder: Path, moment: str, kept: bool) -> None:
    items = write_items(folder, make_item("a", {"red": TRUE | {"href": "./a.tif"}}, datetime="2023-06-01T00:00:00Z"),
                        make_item("b", {"red": TRUE | {"href": "./a.tif"}}, datetime=moment))  # fmt: skip
    found = find(StacImagery(catalog=items, bands=("red",), datetime="2023-06"))
    assert [scene.id for scene in found.scenes] == (["a", "b"] if kept else ["a"])
