"""Loaded pixels: those of the original, with their scale, nodata and validity."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pystac
import rasterio
from rio_cogeo.cogeo import cog_validate

from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import Mask, StacImagery
from tests.collection.loads import RGB, SCENE, area_of, digests, files, kept, load


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
