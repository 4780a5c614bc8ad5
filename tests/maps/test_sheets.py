"""Several files, one map: the index opens as one raster with the sheets' pixels, the collection is valid STAC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pystac.validation
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.geo import Window, sheet_windows
from swath.imagery.scene import Scene
from swath.maps.cog.cog import CogFacts
from swath.maps.legend import MapClass, color_table
from swath.maps.preview import write_preview
from swath.maps.sheets import Sheet, merge_facts, sheet_names, write_collection, write_index
from swath.maps.vectors.geoparquet import write_vectors
from swath.storage.publication import PublishedFile

CLASSES = (MapClass(0, "land", (200, 10, 20)), MapClass(1, "water & ice", (30, 90, 210)))
IMAGE = GeoBox((900, 1100), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
OUTPUT = Window(40, 60, 700, 900)


def facts_of(pixels: np.ndarray, grid: GeoBox, nodata: float, classes: Any) -> CogFacts:
    bands = []
    for band in pixels:
        good = (band[~np.isnan(band)] if np.isnan(nodata) else band[band != nodata]).astype(float)
        percent = {"valid_percent": 100 * good.size / band.size}
        ends = {"minimum": good.min(), "maximum": good.max()} if good.size else {}
        middle = {"mean": good.mean(), "stddev": good.std()} if good.size else {}
        bands.append(ends | middle | percent)
    counts = {v: int((pixels == v).sum()) for v in range(2) if (pixels == v).any()} if classes else {}
    return CogFacts(
        shape=grid.shape, bands=tuple(f"b{n}" for n in range(len(pixels))), dtype=str(pixels.dtype), nodata=nodata, crs="EPSG:32633",
        transform=tuple(grid.affine)[:6], overviews=(2, 4), size=10, valid=int((pixels[0] != nodata).sum()), counts=counts,
        statistics=tuple(bands), blocks=1,
    )  # fmt: skip


def write_sheets(folder: Path, pixels: np.ndarray, nodata: float, classes: Any = CLASSES, **more: Any) -> list[Sheet]:
    windows = sheet_windows(OUTPUT, 128, 400)
    sheets = []
    for window, name in zip(windows, sheet_names(windows), strict=True):
        grid, part = IMAGE[window.roi], pixels[:, *window.within(OUTPUT)]
        with rasterio.open(
            folder / name, "w", driver="GTiff", height=part.shape[1], width=part.shape[2], count=len(part), dtype=part.dtype,
            nodata=nodata, crs="EPSG:32633", transform=grid.affine, tiled=True, blockxsize=128, blockysize=128,
        ) as file:  # fmt: skip
            file.write(part)
            file.descriptions = tuple(f"b{n}" for n in range(len(part)))
            if classes:
                file.write_colormap(1, color_table(classes, nodata))
        with rasterio.open(folder / name, "r+") as file:
            file.build_overviews([2, 4])
        sheets.append(Sheet(name, window, facts_of(part, grid, nodata, classes)))
    write_index(folder, sheets, OUTPUT, IMAGE[OUTPUT.roi], classes=classes, **more)
    return sheets


@pytest.fixture
def pixels() -> np.ndarray:
    made = (np.random.default_rng(3).random((1, 700, 900)) < 0.3).astype(np.uint8)
    made[0, :50] = 255
    return made


@pytest.mark.parametrize("name", ["map.vrt", "map.gti.gpkg"])
def test_an_index_is_one_raster_with_the_sheets_pixels_wherever_the_folder_is(
    tmp_path: Path, pixels: np.ndarray, name: str
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    assert len(write_sheets(made, pixels, 255)) == 6
    moved = made.rename(tmp_path / "moved")
    with rasterio.open(moved / name) as file:
        assert (file.count, file.dtypes, file.nodata) == (1, ("uint8",), 255)
        assert file.crs.to_epsg() == 32633
        assert file.transform.almost_equals(IMAGE[OUTPUT.roi].affine)
        assert (file.read() == pixels).all()
        assert file.colormap(1)[1] == (30, 90, 210, 255)
        assert file.read(1, out_shape=(175, 225)).shape == (175, 225)


def test_the_mosaic_shows_names_statistics_and_classes(tmp_path: Path, pixels: np.ndarray) -> None:
    sheets = write_sheets(tmp_path, pixels, 255)
    with rasterio.open(tmp_path / "map.vrt") as file:
        tags = file.tags(1)
        assert file.descriptions == ("b0",)
        assert json.loads(tags["CLASSES"]) == {"0": "land", "1": "water & ice"}
        good = pixels[pixels != 255].astype(float)
        assert float(tags["STATISTICS_MEAN"]) == pytest.approx(good.mean())
        assert float(tags["STATISTICS_STDDEV"]) == pytest.approx(good.std())
        assert float(tags["STATISTICS_VALID_PERCENT"]) == pytest.approx(100 * 650 / 700)
        assert file.colormap(1)[255] == (0, 0, 0, 0)
        assert file.overviews(1) == [2, 4]
    whole = merge_facts(sheets, OUTPUT, IMAGE[OUTPUT.roi])
    assert whole.counts == {0: int((pixels == 0).sum()), 1: int((pixels == 1).sum())}
    assert whole.valid == 650 * 900


def test_vectors_and_the_picture_are_made_from_the_index(tmp_path: Path, pixels: np.ndarray) -> None:
    pixels[:] = 0
    pixels[0, 300:500, 200:700] = 1
    write_sheets(tmp_path, pixels, 255)
    assert write_vectors(tmp_path / "map.parquet", tmp_path / "map.vrt", CLASSES) == 2
    write_preview(tmp_path / "preview.png", tmp_path / "map.vrt", CLASSES, "sheets")


def test_numbers_keep_their_nan_and_their_scale(tmp_path: Path) -> None:
    made = np.random.default_rng(1).random((2, 700, 900)).astype(np.float32)
    made[:, 100:600, :500] = np.nan
    write_sheets(tmp_path, made, float("nan"), (), scale=0.5)
    for name in ("map.vrt", "map.gti.gpkg"):
        with rasterio.open(tmp_path / name) as file:
            assert np.isnan(file.nodata)
            assert np.array_equal(file.read(), made, equal_nan=True)
    with rasterio.open(tmp_path / "map.vrt") as file:
        assert file.scales == (0.5, 0.5)
        assert [each.name for each in file.colorinterp] == ["gray", "undefined"]


def test_the_same_sheets_give_the_same_bytes(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_sheets(tmp_path / name, pixels, 255)
    for name in ("map.vrt", "map.gti.gpkg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_collection_is_valid_stac_with_an_item_for_each_sheet(tmp_path: Path, pixels: np.ndarray) -> None:
    sheets = write_sheets(tmp_path, pixels, 255)
    names = [*(sheet.name for sheet in sheets), "map.vrt", "map.gti.gpkg", "preview.png", "model.json"]
    files = {name: PublishedFile(name, 10, "ab" * 32) for name in names}
    scenes = [Scene("a", (), "2020-02-19T11:00:00Z"), Scene("b", (), "2021-02-19T11:00:00Z")]
    write_collection(
        tmp_path, "lake", sheets, IMAGE, files, scenes, classes=CLASSES, software={"swath": "1"}, lineage="made", model="model.json"
    )  # fmt: skip
    document = json.loads((tmp_path / "collection.json").read_text())
    assert pystac.validation.validate_dict(document | {"stac_extensions": []})
    collection = pystac.Collection.from_file(str(tmp_path / "collection.json"))
    items = list(collection.get_items())
    assert len(items) == 6
    for item, sheet in zip(items, sheets, strict=True):
        assert pystac.validation.validate_dict(item.to_dict(include_self_link=False) | {"stac_extensions": []})
        assert (item.collection_id, item.assets["map"].href) == ("lake", f"./{sheet.name}")
        assert item.get_collection() is collection or item.get_collection().id == "lake"  # type: ignore[union-attr]
    boxes = np.array([item.bbox for item in items])
    extent = collection.extent.spatial.bboxes[0]
    assert [*boxes.min(axis=0)[:2], *boxes.max(axis=0)[2:]] == pytest.approx(extent, abs=1e-3)
    assert set(collection.assets) == {"index", "tile-index", "preview"}
    assert [str(t)[:4] for t in collection.extent.temporal.intervals[0]] == ["2020", "2021"]


def test_sheets_on_several_grids_over_the_antimeridian_have_one_box(tmp_path: Path) -> None:
    grids = [
        GeoBox((100, 100), Affine(1000, 0, 600_000, 0, -1000, 5_800_000), "EPSG:32660"),
        GeoBox((100, 100), Affine(1000, 0, 300_000, 0, -1000, 5_800_000), "EPSG:32601"),
    ]
    pixels = np.zeros((1, 100, 100), dtype=np.uint8)
    sheets = [
        Sheet(f"map-{zone}.tif", Window(0, 0, 100, 100), facts_of(pixels, grid, 255, CLASSES), None, grid)
        for zone, grid in zip(("60N", "01N"), grids, strict=True)
    ]
    files = {sheet.name: PublishedFile(sheet.name, 10, "ab" * 32) for sheet in sheets}
    write_collection(tmp_path, "far", sheets, grids[0], files, [Scene("a", (), None)], software={}, lineage="made")
    document = json.loads((tmp_path / "collection.json").read_text())
    assert pystac.validation.validate_dict(document | {"stac_extensions": []})
    ((west, _, east, _),) = document["extent"]["spatial"]["bbox"]
    assert 178 < west < 180
    assert -180 < east < -178
