"""Imagery in a collection: exact, valid, and loaded once only."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pystac
import pytest
import rasterio
from pydantic import TypeAdapter
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from swath.collection.inventory import read_inventory
from swath.collection.load_piece import Pieces, load_piece
from swath.collection.load_plan import LoadPlan, plan_load
from swath.collection.write import write_images
from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.find import find
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, Mask, StacImagery
from swath.storage.publication import Published

SCENE = "S2A_29RKH_20200219_0_L2A"


def plan(folder: Path, imagery: FilesImagery | StacImagery, **options: Any) -> LoadPlan:
    settings: dict[str, Any] = {
        "area": None, "grid": None, "composite": None, "physical": False, "margin": 128, "blocksize": 128, "sheet": 65536,
    }  # fmt: skip
    return plan_load(imagery, read_inventory(str(folder)), **settings | options)


def load(folder: Path, imagery: FilesImagery | StacImagery, *, region: int = 256, **options: Any) -> Published:
    """As the pipeline does it, in this process."""
    loading = plan(folder, imagery, **options)
    pieces = Pieces.of(loading.new, region, 128)
    return write_images([load_piece(piece) for piece in pieces], loading, pieces, str(folder), "kept")


def kept(folder: Path, *bands: str, **options: Any) -> StacImagery:
    return StacImagery(catalog=str(folder / "collection.json"), bands=bands, **options)


def files(*paths: Path, names: tuple[str, ...] | None = None, **options: Any) -> FilesImagery:
    return FilesImagery(paths=tuple(map(str, paths)), names=names, **options)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def area_of(west: float, south: float, east: float, north: float) -> Area:
    return TypeAdapter(Area).validate_python([west, south, east, north])


RGB, RGBN = ("red", "green", "blue"), ("red", "green", "blue", "nir")


def test_pixels_and_validity_are_those_of_the_original_whatever_the_regions(tmp_path: Path, shared: Path) -> None:
    original = files(shared / "data/imagery/bahamas_rgb.tif", names=RGB)
    before = find(original)
    whole = Window(0, 0, *before.image.shape)
    for region in (128, 512):
        load(tmp_path / str(region), original, region=region)
        after = find(kept(tmp_path / str(region), *RGB))
        assert after.image == before.image
        for one, other in zip(read_mosaic(before, whole), read_mosaic(after, whole), strict=True):
            assert np.array_equal(one, other)
    assert digests(tmp_path / "128") == digests(tmp_path / "512")
    for path in (tmp_path / "128").glob("*.tif"):
        assert cog_validate(path, strict=True) == (True, [], [])
        with rasterio.open(path) as file:  # water has zeros in some bands: no number can stand for nodata
            assert (file.count, file.nodata, file.colorinterp[1].name) == (2, None, "alpha")


def test_only_what_is_new_or_changed_is_loaded_and_all_else_keeps_its_bytes(tmp_path: Path, shared: Path) -> None:
    source, folder = tmp_path / "in", tmp_path / "kept"
    source.mkdir()
    years = ("20100629", "20120731", "20140720")

    def add(year: str) -> None:
        (source / f"{year}.tif").write_bytes((shared / f"data/imagery/naip_nd_{year}.tif").read_bytes())

    imagery = files(source / "*.tif", names=RGBN)
    add(years[0])
    add(years[1])
    assert load(folder, imagery).about["numbers"]["images loaded"] == 2
    first = digests(folder)

    add(years[2])
    assert [image.id for image in plan(folder, imagery).new] == [years[2]]
    load(folder, imagery)
    second = digests(folder)
    same = set(first) - {"collection.json"}
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert len(second) == 3 * 5 + 1

    # A broken file is found by its checksum, a changed source by its stamp; what is not asked for now stays.
    broken = folder / f"{years[0]}-red.tif"
    data = bytearray(broken.read_bytes())
    data[-100] ^= 1
    broken.write_bytes(data)
    os.utime(source / f"{years[1]}.tif", ns=(1, 1))
    (source / f"{years[2]}.tif").unlink()
    loading = plan(folder, imagery)
    assert [image.id for image in loading.new] == [years[0], years[1]]
    assert years[0] in loading.notes[0]
    load(folder, imagery)
    assert digests(folder)[broken.name] == first[broken.name]
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    assert [item.id for item in collection.get_items()] == list(years)
    assert not plan(folder, imagery).new


def test_files_that_a_changed_image_no_longer_has_are_removed_and_those_kept_are_not(
    tmp_path: Path, shared: Path
) -> None:
    imagery = files(shared / "data/imagery/naip_nd_20120731.tif", names=RGBN)
    load(tmp_path, imagery, sheet=512)
    assert len(list(tmp_path.glob("*-part-*.tif"))) == 4 * 4
    load(tmp_path, imagery)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "collection.json", *(f"naip_nd_20120731{rest}" for rest in ("-blue.tif", "-green.tif", "-nir.tif", "-red.tif", ".json")),
    ]  # fmt: skip


def test_a_stac_scene_keeps_its_numbers_scale_time_and_clouds_and_its_quality_band_works(
    tmp_path: Path, shared: Path
) -> None:
    source = StacImagery(catalog=str(shared / "data/stac/catalog.json"), ids=(SCENE,), bands=("red", "nir", "scl"))
    before = pystac.Item.from_file(str(shared / f"data/stac/{SCENE}/{SCENE}.json"))
    assert before.bbox is not None
    west, south, _, _ = before.bbox
    load(tmp_path, source, area=area_of(west + 0.4, south + 0.4, west + 0.6, south + 0.5), margin=10)
    item = pystac.Item.from_file(str(tmp_path / f"{SCENE}.json"))
    assert item.datetime == before.datetime
    assert item.properties["eo:cloud_cover"] == before.properties["eo:cloud_cover"]
    described = {name: asset.extra_fields["bands"][0] for name, asset in item.assets.items()}
    assert (described["red"]["raster:scale"], described["red"]["nodata"]) == (0.0001, 0)
    assert [described[name]["data_type"] for name in ("red", "scl")] == ["uint16", "uint8"]
    for asset in item.assets.values():
        path = Path(str(asset.get_absolute_href()))
        assert asset.extra_fields["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
        assert asset.extra_fields["file:size"] == path.stat().st_size
    reject = Mask(band="scl", kind="scl", reject=("vegetation", "not_vegetated"))
    one, other = (
        find(each.model_copy(update={"bands": ("red", "nir"), "mask": reject}))
        for each in (source, kept(tmp_path, "red"))
    )
    height, width = other.image.shape
    col, row = map(round, ~one.image.affine @ (other.image.affine.c, other.image.affine.f))
    was = read_mosaic(one, Window(row, col, height, width), reflectance=True)
    now = read_mosaic(other, Window(0, 0, height, width), reflectance=True)
    assert np.array_equal(was[1], now[1])
    assert np.array_equal(was[0], now[0])
    assert 64 <= height <= 320


def test_a_composite_is_one_image_with_what_the_rule_takes_and_floats_have_nan(tmp_path: Path, shared: Path) -> None:
    names = ("landsat8_224077_20200518.tif", "landsat8_224078_20200518.tif")
    imagery = files(*(shared / "data/imagery" / name for name in names), bands=(1, 3), scale=0.5)
    grid = GridSpec(resolution=240)
    load(tmp_path, imagery, composite="median", grid=grid, physical=True)
    (item,) = pystac.Collection.from_file(str(tmp_path / "collection.json")).get_items()
    assert item.id == "composite"
    assert item.properties["derived_from"] == [name.removesuffix(".tif") for name in names]
    assert item.properties["proj:transform"][0] == 240
    assert {asset.extra_fields["bands"][0]["nodata"] for asset in item.assets.values()} == {"nan"}
    before = find(imagery.model_copy(update={"mosaic": "median"}), grid=grid)
    after = find(kept(tmp_path, *item.assets))
    assert after.image == before.image
    window = Window(0, 0, *before.image.shape)
    for one, other in zip(read_mosaic(before, window, reflectance=True), read_mosaic(after, window), strict=True):
        assert np.array_equal(one, other)


def test_scenes_of_two_zones_come_onto_one_grid_or_keep_their_own(tmp_path: Path, shared: Path) -> None:
    source = StacImagery(
        catalog=str(shared / "data/stac/catalog.json"), bands=("red",), ids=(SCENE, "S2A_29RKH_as_28N_derived")
    )
    load(tmp_path / "one", source)
    load(tmp_path / "own", source, grid=GridSpec(zones=True))

    def grids(name: str) -> set[str]:
        return {item.properties["proj:code"] for item in pystac.Collection.from_file(
            str(tmp_path / name / "collection.json")).get_items()}  # fmt: skip

    assert len(grids("one")) == 1
    assert grids("own") == {"EPSG:32628", "EPSG:32629"}
    assert not plan(tmp_path / "own", source, grid=GridSpec(zones=True)).new
    with pytest.raises(ImageryError, match="grids of their own"):
        plan(tmp_path / "own", source)


def test_what_does_not_go_together_is_refused(tmp_path: Path, shared: Path) -> None:
    folder = tmp_path / "kept"
    imagery = files(shared / "data/imagery/bahamas_rgb.tif", names=RGB)
    load(folder, imagery, area=area_of(-78.0, 24.4, -77.9, 24.5))
    cases: list[tuple[str, FilesImagery, dict[str, Any]]] = [
        ("holds the bands", imagery.model_copy(update={"bands": ("red",)}), {}),
        ("holds the units", imagery, {"physical": True}),
        ("the collection has pixels of 300.038", imagery, {"grid": GridSpec(resolution=600)}),
        ("holds the units numbers", imagery, {"composite": "median"}),
        ("a composite has one grid", imagery, {"grid": GridSpec(zones=True), "composite": "first"}),
    ]
    for message, asked, options in cases:
        with pytest.raises(ImageryError, match=message):
            plan(folder, asked, **options)
    other = tmp_path / "other"
    other.mkdir()
    (other / "collection.json").write_text(json.dumps({"links": []}))
    with pytest.raises(ImageryError, match="is not a collection of loaded imagery"):
        read_inventory(str(other))


def test_numbers_that_mean_different_things_make_no_composite_but_their_physical_values_do(tmp_path: Path) -> None:
    for name, scale in (("a", 0.1), ("b", 0.2)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", height=64, width=64, count=1, dtype="uint8",
            crs=CRS.from_epsg(32633), transform=rasterio.transform.from_origin(5e5, 5e6, 10, 10),
        ) as file:  # fmt: skip
            file.write(np.full((1, 64, 64), 100, np.uint8))
            file.scales = (scale,)
    imagery = files(tmp_path / "a.tif", tmp_path / "b.tif")
    with pytest.raises(ImageryError, match="different physical values"):
        plan(tmp_path / "kept", imagery, composite="first")
    load(tmp_path / "kept", imagery, composite="first", physical=True)
    with rasterio.open(tmp_path / "kept/composite-1.tif") as file:
        assert file.dtypes == ("float32",)
        assert set(np.unique(file.read())) == {np.float32(10)}


def test_a_collection_at_an_address_is_as_that_in_a_folder_and_is_kept_as_well(tmp_path: Path, shared: Path) -> None:
    imagery = files(shared / "data/imagery/bahamas_rgb.tif", names=RGB)
    area = area_of(-78.0, 24.4, -77.9, 24.5)
    load(tmp_path / "kept", imagery, area=area)
    address = "memory://bucket/kept"
    store = fsspec.filesystem("memory")
    try:
        for loaded in (1, 0):
            loading = plan_load(
                imagery, read_inventory(address), area=area, grid=None, composite=None, physical=False, margin=128,
                blocksize=128, sheet=65536,
            )  # fmt: skip
            assert len(loading.new) == loaded
            pieces = Pieces.of(loading.new, 256, 128)
            write_images([load_piece(piece) for piece in pieces], loading, pieces, address, "kept")
        there = {name.rpartition("/")[2]: store.cat_file(name) for name in store.ls("/bucket/kept", detail=False)}
        assert there == {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    finally:
        store.rm("/bucket", recursive=True)
