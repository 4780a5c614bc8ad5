"""Scenes from files: what is found, what is refused, and how bands are matched."""

from __future__ import annotations

import importlib.util
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from swath.errors import CredentialsError, ImageryError, MissingExtra, ReadFailed
from swath.geo import Window
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources import files
from swath.imagery.sources.files import find_scenes
from swath.spec.fields.area import Area
from swath.spec.fields.imagery import FilesImagery, Mask
from tests.imagery.rasters import write

RGB = np.arange(3 * 20 * 30, dtype=np.uint8).reshape(3, 20, 30)


def scenes_of(
    *paths: Path | str, bands: tuple[str, ...] | None = None, area: Area | None = None, **spec: Any
) -> Scenes:
    return find_scenes(FilesImagery(paths=tuple(map(str, paths)), **spec), bands, area)


def test_order_is_that_of_the_paths_and_globs_are_sorted(tmp_path: Path) -> None:
    for name in ("b", "a", "c", "z"):
        write(tmp_path / f"{name}.tif", RGB)
    found = scenes_of(tmp_path / "z.tif", tmp_path / "?.tif")
    assert [scene.id for scene in found.scenes] == ["z", "a", "b", "c"]


def test_bahamas_says_its_bands_nodata_and_grid(shared: Path) -> None:
    path = shared / "data/imagery/bahamas_rgb.tif"
    found = scenes_of(path, bands=("blue", "red"))
    first, second = found.scenes[0].bands
    assert (first.index, second.index) == (3, 1)
    assert (first.dtype, first.nodata, first.scale) == ("uint8", 0, None)
    with rasterio.open(path) as file:
        assert found.image.affine == file.transform
        assert found.image.shape == file.shape
    assert str(found.image.crs) == "EPSG:32618"
    assert pickle.loads(pickle.dumps(found)) == found


def test_scale_comes_from_the_file_unless_the_spec_says_its_own(shared: Path) -> None:
    path = shared / "data/imagery/s2_l1c_19UDP_20170729.tif"
    band = scenes_of(path, bands=("B04",)).scenes[0].bands[0]
    assert (band.scale, band.offset) == (0.0001, 0)
    band = scenes_of(path, bands=("B04",), scale=0.5, offset=-1.0).scenes[0].bands[0]
    assert (band.scale, band.offset) == (0.5, -1)


def test_an_unknown_band_is_answered_with_the_nearest_and_the_list(shared: Path) -> None:
    with pytest.raises(ImageryError, match=r"no band 'gren' \(did you mean green\?\); it has red, green, blue"):
        scenes_of(shared / "data/imagery/bahamas_rgb.tif", bands=("red", "gren"))
    with pytest.raises(ImageryError, match="no band 4; bands count from 1 and it has 3"):
        find_scenes(FilesImagery(paths=(str(shared / "data/imagery/bahamas_rgb.tif"),), bands=(4,)), None, None)


def test_unnamed_bands_are_taken_in_order_with_a_note_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.tif", RGB[:2])
    found = scenes_of(path, bands=("green", "nir"))
    assert [band.index for band in found.scenes[0].bands] == [1, 2]
    assert any("taken in order as green, nir" in note for note in found.notes)
    with pytest.raises(ImageryError, match="no band 'red'; it has 1, 2"):
        scenes_of(path, bands=("red",))
    named = find_scenes(FilesImagery(paths=(str(path),), names=("green", "nir")), ("nir",), None)
    assert named.scenes[0].bands[0].index == 2
    with pytest.raises(ImageryError, match=r"has 2 bands, imagery.names names 1"):
        find_scenes(FilesImagery(paths=(str(path),), names=("green",)), ("green",), None)


def test_the_specs_bands_must_pair_with_the_models(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB, names=("x", "y", "z"))
    spec = FilesImagery(paths=(str(path),), bands=("z", 1))
    found = find_scenes(spec, ("red", "nir"), None)
    assert [band.index for band in found.scenes[0].bands] == [3, 1]
    assert found.bands == ("red", "nir")
    with pytest.raises(ImageryError, match=r"imagery\.bands names 2 bands, the model takes 1: red"):
        find_scenes(spec, ("red",), None)


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB)
    before = scenes_of(path).scenes[0].bands[0].stamp
    assert before == scenes_of(path).scenes[0].bands[0].stamp
    os.utime(path, ns=(1, 1))
    assert scenes_of(path).scenes[0].bands[0].stamp != before


def test_nodata_of_the_spec_fills_the_files_silence_only(tmp_path: Path) -> None:
    silent = write(tmp_path / "a.tif", RGB)
    says = write(tmp_path / "b.tif", RGB, nodata=7)
    found = scenes_of(silent, says, nodata=3.0)
    assert [scene.bands[0].nodata for scene in found.scenes] == [3, 7]


def test_images_without_a_crs_make_a_pixel_grid_but_fit_no_area(shared: Path, tmp_path: Path) -> None:
    path = shared / "data/labels/clouds/sentinel2_img.tif"
    found = scenes_of(path, bands=("blue", "nir"))
    assert found.image.crs is None
    assert found.image.shape == (512, 512)
    assert any("no coordinate reference system" in note for note in found.notes)
    area = Area(wkt="POLYGON ((0 0, 1 0, 1 1, 0 0))")
    with pytest.raises(ImageryError, match="no area can be found on it"):
        scenes_of(path, bands=("blue",), area=area)
    georeferenced = write(tmp_path / "a.tif", RGB, names=("blue", "b", "c"))
    with pytest.raises(ImageryError, match="other files have one"):
        scenes_of(path, georeferenced, bands=("blue",))


VRT = """<VRTDataset rasterXSize="20" rasterYSize="20"><GeoTransform>0,1,0,0,0,-1</GeoTransform><VRTRasterBand dataType="Byte" band="1">
<SimpleSource><SourceFilename relativeToVRT="0">{target}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>
</VRTRasterBand></VRTDataset>"""


def test_a_vrt_dressed_as_a_tiff_is_refused(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.tif", RGB)
    dressed = tmp_path / "dressed.tif"
    dressed.write_text(VRT.format(target=secret))
    with rasterio.open(dressed) as file:
        assert file.driver == "VRT"  # plain GDAL does read it
    with pytest.raises(ImageryError, match=r"dressed.tif: a VRT \(which points at other files\)"):
        scenes_of(dressed)


def test_a_vrt_dressed_as_a_mask_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB)
    (tmp_path / "a.tif.msk").write_text(VRT.format(target=path))
    with pytest.raises(ImageryError, match=r"a.tif.msk: not a TIFF"):
        scenes_of(path)


@pytest.mark.parametrize(
    ("content", "nature"),
    [(b"<!DOCTYPE html><html>404</html>", "an HTML page"), (b"", "an empty file"), (b"PK\3\4", "a zip archive")],
)
def test_what_is_no_raster_is_named_for_what_it_is(tmp_path: Path, content: bytes, nature: str) -> None:
    (tmp_path / "page.tif").write_bytes(content)
    with pytest.raises(ImageryError, match=rf"page.tif: {nature}, not a raster"):
        scenes_of(tmp_path / "page.tif")


def test_a_header_cut_short_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.tif", RGB).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:60])
    with pytest.raises((ImageryError, ReadFailed), match=r"cut.tif"):
        scenes_of(tmp_path / "cut.tif")


def test_nothing_found_names_the_pattern(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match=r"nothing matches .*/\*\.tif"):
        scenes_of(tmp_path / "*.tif")
    with pytest.raises(ImageryError, match=r"absent\.tif: No such file"):
        scenes_of(tmp_path / "absent.tif")


def test_a_quality_band_is_taken_from_the_same_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB, names=("red", "green", "SCL"))
    found = scenes_of(path, bands=("red",), mask=Mask(band="scl", kind="scl"), scale=0.1)
    quality = found.scenes[0].quality
    assert quality is not None
    assert (quality.index, quality.scale) == (3, None)
    with pytest.raises(ImageryError, match="did you mean cloud"):
        scenes_of(path, bands=("red",), mask=Mask(band="scl", kind="scl", reject=("cluod",)))
    with pytest.raises(ImageryError, match="no band 'quality'"):
        scenes_of(path, bands=("red",), mask=Mask(band="quality", kind="scl"))


def test_memory_and_file_addresses_are_read_like_paths(tmp_path: Path) -> None:
    path = write(tmp_path / "with space.tif", RGB)
    memory = fsspec.filesystem("memory")
    memory.pipe("/swath/one.tif", path.read_bytes())
    try:
        for address in ("memory://swath/*.tif", path.as_uri()):
            found = scenes_of(address)
            pixels, valid = read_mosaic(found, found_window(found))
            assert (pixels == RGB).all()
            assert valid.all()
    finally:
        memory.rm("/swath", recursive=True)


def found_window(found: Scenes) -> Any:
    from swath.imagery.geometry.image_grid import output_window

    return output_window(found.image, None)


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_an_object_store_without_its_package_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"s3fs\n  pip install 'swath\[aws\]'"):
        scenes_of("s3://bucket/*.tif")


def test_a_web_address_is_no_pattern() -> None:
    with pytest.raises(ImageryError, match="a web address cannot be a pattern"):
        scenes_of("http://127.0.0.1:9/*.tif")


def test_a_remote_file_is_read_by_ranges_and_its_secret_is_not_told(
    web: Callable[[], tuple[str, Any]], shared: Path
) -> None:
    address, server = web()
    data = (shared / "data/imagery/bahamas_rgb.tif").read_bytes()
    (server.folder / "a.tif").write_bytes(data)
    found = scenes_of(f"{address}/a.tif?signature=canary")
    assert found.scenes[0].id == "a"
    assert found.scenes[0].bands[0].stamp
    local = scenes_of(shared / "data/imagery/bahamas_rgb.tif")
    window = found_window(local)
    for one, other in zip(read_mosaic(found, window), read_mosaic(local, window), strict=True):
        assert (one == other).all()
    server.faults["a.tif"] = 403
    with pytest.raises(CredentialsError) as refused:
        scenes_of(f"{address}/a.tif?signature=canary")
    assert "canary" not in str(refused.value)
    server.faults["a.tif"] = 404
    with pytest.raises(ImageryError, match="answered 404"):
        scenes_of(f"{address}/a.tif")
    (server.folder / "page.tif").write_bytes(b"<html>sorry</html>")
    with pytest.raises(ImageryError, match=r"page\.tif: an HTML page"):
        scenes_of(f"{address}/page.tif?signature=canary")


def test_near_infrared_that_is_tagged_as_alpha_is_a_band_and_no_mask(shared: Path) -> None:
    path = shared / "data/imagery/naip_nd_20120731.tif"
    for names in (None, ("red", "green", "blue", "nir")):
        scenes = find_scenes(FilesImagery(paths=(str(path),), names=names), ("nir", "red"), None)
        pixels, valid = read_mosaic(scenes, Window(0, 0, 64, 64))
        with rasterio.open(path) as file:
            assert np.array_equal(pixels, file.read([4, 1], window=((0, 64), (0, 64))))
        assert valid.all()


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1e308, float("nan"), float("inf")])
def test_a_georeference_that_gives_pixels_no_size_is_refused(tmp_path: Path, size: float) -> None:
    path = write(tmp_path / "a.tif", RGB)
    with rasterio.open(path, "r+") as file:
        file.transform = rasterio.Affine(size, 0, 500_000, 0, -size, 5_000_000)
    with pytest.raises(ImageryError, match=r"a\.tif: its georeference gives pixels no size"):
        scenes_of(path)


def test_a_file_of_very_many_bands_is_read_only_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((5000, 1, 1), np.uint8))
    with pytest.raises(ImageryError, match=r"a\.tif: has 5000 bands; at most 4096 are read without being named"):
        scenes_of(path)
    found = find_scenes(FilesImagery(paths=(str(path),), bands=(4999,)), None, None)
    assert [band.index for band in found.scenes[0].bands] == [4999]
    with pytest.raises(ImageryError, match=r"no band 'red'; it has 1, 2, .*, 100 and 4900 more"):
        scenes_of(path, bands=("red",))


def test_a_nodata_value_of_the_spec_that_changes_nothing_is_noted(tmp_path: Path) -> None:
    declared = write(tmp_path / "declared.tif", RGB, nodata=7)
    assert (
        f"{declared}: declares the nodata value 7; imagery.nodata 0 is not used for it"
        in scenes_of(declared, nodata=0).notes
    )
    assert not any("nodata" in note for note in scenes_of(declared, nodata=7).notes)
    bare = write(tmp_path / "bare.tif", RGB)
    for value in (-9999, 0.5, float("nan")):
        assert (
            f"{bare}: has pixels of uint8, none of which can be imagery.nodata {value:g}"
            in scenes_of(bare, nodata=value).notes
        )
    assert not any("nodata" in note for note in scenes_of(bare, nodata=0).notes)
    floats = write(tmp_path / "floats.tif", RGB.astype(np.float32), nodata=np.nan)
    assert not any("nodata" in note for note in scenes_of(floats, nodata=float("nan")).notes)


def test_a_colour_table_of_a_band_that_is_no_class_band_by_name_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", RGB[:1])
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {1: (255, 0, 0)})
    assert any("a.tif: has a colour table, so its numbers are classes" in note for note in scenes_of(path).notes)
    named = scenes_of(path, names=("scl",))
    assert not any("colour table" in note for note in named.notes)
    assert not any("colour table" in note for note in scenes_of(write(tmp_path / "b.tif", RGB)).notes)


def test_a_crs_without_a_geotransform_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "count": 1, "height": 20, "width": 30, "dtype": "uint8", "crs": "EPSG:32633"}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path, "w", **profile) as file:
        file.write(RGB[:1])
    assert any("has a coordinate reference system and no geotransform" in note for note in scenes_of(path).notes)
    assert not any("geotransform" in note for note in scenes_of(write(tmp_path / "b.tif", RGB)).notes)


def test_the_metadata_of_a_file_is_read_once_however_many_bands_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDAL goes through all bands for each question: a file of 4,096 bands took minutes."""
    write(tmp_path / "cube.tif", np.ones((40, 8, 8), np.uint8))
    read: list[str] = []
    grid = files._grid
    monkeypatch.setattr(files, "_grid", lambda file, href: read.append(href) or grid(file, href))
    found = find_scenes(FilesImagery(paths=(str(tmp_path / "cube.tif"),)), None, None)
    assert len(found.scenes[0].bands) == 40
    assert read == [str(tmp_path / "cube.tif")]
