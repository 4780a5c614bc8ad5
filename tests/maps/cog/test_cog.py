"""The map's file: strict COG, the parts' very pixels, the source's grid, the same bytes from any regions."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from swath.errors import TaskFailed
from swath.geo import Window
from swath.maps.cog.cog import write_cog
from swath.maps.cog.encoding import Encoding
from swath.maps.legend import MapClass
from tests.maps.cog.maps import CLASSES, blocks_of, classes_of, grid, noise, parts_of, read


def test_the_real_image_comes_back_byte_for_byte_on_its_own_grid(shared: Path, tmp_path: Path) -> None:
    with rasterio.open(shared / "data/imagery/bahamas_rgb.tif") as source:
        image, transform, crs = source.read(), source.transform, source.crs
    geobox = GeoBox(image.shape[1:], transform, "EPSG:32618")
    blocks, encoding = blocks_of(geobox, 512), Encoding("uint8", 0, 3)
    parts = parts_of(blocks, image, encoding)
    facts = write_cog(
        tmp_path / "map.tif", parts, blocks, encoding, band_names=("red", "green", "blue"), tags={"A": "b"}
    )
    assert cog_validate(tmp_path / "map.tif", strict=True, quiet=True) == (True, [], [])
    with rasterio.open(tmp_path / "map.tif") as made:
        assert made.read().tobytes() == image.tobytes()
        assert (made.transform, made.crs, made.nodata) == (transform, crs, 0)
        assert made.descriptions == ("red", "green", "blue")
        assert made.tags()["A"] == "b"
        assert made.colorinterp[0].name == "red"
    assert facts.overviews == (2,)
    assert facts.statistics[0]["maximum"] == image[0].max()
    assert facts.crs == "EPSG:32618"
    assert facts.valid == int((image != 0).any(axis=0).sum())


def test_an_output_window_is_snapped_and_keeps_the_place_of_its_pixels(tmp_path: Path) -> None:
    image, window = noise(700, 900), Window(130, 270, 521, 533)
    blocks = blocks_of(grid(700, 900), 256, window)
    write_cog(tmp_path / "m.tif", parts_of(blocks, image, classes_of()), blocks, classes_of(), classes=CLASSES)
    assert (read(tmp_path / "m.tif") == image[:, *window.roi]).all()
    with rasterio.open(tmp_path / "m.tif") as made:
        assert (made.transform.c, made.transform.f) == (400_000 + 270 * 30, 2_800_000 - 130 * 30)


@pytest.mark.parametrize(
    "encoding",
    [classes_of(), Encoding("uint16", 0, 2, blocksize=64), Encoding("float32", math.nan, 3, blocksize=64)],
    ids=["classes", "numbers", "floats"],
)
def test_the_regions_do_not_change_a_byte(tmp_path: Path, encoding: Encoding) -> None:
    image = np.random.default_rng(7).integers(0, 2, (encoding.bands, 700, 1100)).astype(encoding.dtype)
    image[:, :90, 50:300] = encoding.nodata
    names, classes = [f"band {n}" for n in range(encoding.bands)], CLASSES if encoding.classes else ()
    made = set()
    for size in (64, 128, 192, 512, 4096):
        blocks = blocks_of(grid(700, 1100), size)
        path = tmp_path / f"{size}.tif"
        write_cog(path, parts_of(blocks, image, encoding), blocks, encoding, classes=classes, band_names=names)
        assert np.array_equal(read(path), image, equal_nan=encoding.dtype == "float32")
        made.add(path.read_bytes())
    assert len(made) == 1
    assert not [p.name for p in tmp_path.iterdir() if p.is_file() and p.name.startswith(".")]


def test_parts_that_went_through_a_pickle_belong_to_the_map(tmp_path: Path) -> None:
    blocks, encoding = blocks_of(grid(64, 64), 64), Encoding("float32", math.nan, blocksize=64)
    parts = pickle.loads(pickle.dumps(parts_of(blocks, noise(64, 64).astype(np.float32), encoding)))
    assert write_cog(tmp_path / "m.tif", parts, blocks, encoding).valid == 64 * 64


def test_gdal_sees_the_layout_of_its_own_driver(tmp_path: Path) -> None:
    blocks = blocks_of(grid(700, 1100), 128)
    write_cog(
        tmp_path / "m.tif", parts_of(blocks, noise(700, 1100), classes_of()), blocks, classes_of(), classes=CLASSES
    )
    with rasterio.open(tmp_path / "m.tif") as made:
        assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (made.block_shapes, made.compression.value) == ([(64, 64)], "DEFLATE")
    assert cog_validate(tmp_path / "m.tif", strict=True, quiet=True) == (True, [], [])


def test_a_class_map_has_colours_names_and_transparent_nodata(tmp_path: Path) -> None:
    blocks = blocks_of(grid(50, 60), 64)
    write_cog(tmp_path / "m.tif", parts_of(blocks, noise(50, 60), classes_of()), blocks, classes_of(), classes=CLASSES)
    with rasterio.open(tmp_path / "m.tif") as made:
        colors = made.colormap(1)
        assert (colors[0], colors[1], colors[255][3]) == ((200, 180, 120, 255), (30, 90, 200, 255), 0)
        assert json.loads(made.tags(1)["CLASSES"]) == {"0": "land", "1": "water & ice"}
    rasterio.shutil.copy(tmp_path / "m.tif", tmp_path / "m.vrt", driver="VRT")  # GDAL itself finds the names
    assert "<Category>water &amp; ice</Category>" in (tmp_path / "m.vrt").read_text()


def test_overviews_of_classes_hold_only_classes(tmp_path: Path) -> None:
    classes = (MapClass(1, "a", (1, 1, 1)), MapClass(200, "b", (2, 2, 2)))
    image = np.where(noise(1200, 1200) == 0, 1, 200).astype(np.uint8)
    blocks = blocks_of(grid(1200, 1200), 640)
    write_cog(tmp_path / "m.tif", parts_of(blocks, image, classes_of()), blocks, classes_of(), classes=classes)
    with rasterio.open(tmp_path / "m.tif", overview_level=1) as made:
        assert set(np.unique(made.read())) == {1, 200}


def test_float_maps_keep_nan_as_nodata_and_every_bit(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=(2, 700, 640)).astype(np.float32)
    image[:, 100:300, 50:400] = np.nan
    blocks = blocks_of(grid(700, 640), 256, wanted=tuple(range(6)))
    names = ("depth", "error")
    encoding = Encoding("float32", math.nan, 2, blocksize=64)
    facts = write_cog(tmp_path / "m.tif", parts_of(blocks, image, encoding), blocks, encoding, band_names=names)
    made = read(tmp_path / "m.tif")
    assert made[:, :512, :512].tobytes() == image[:, :512, :512].tobytes()
    assert np.isnan(made[:, 512:, 512:]).all()
    assert facts.bands == names
    assert facts.statistics[0]["minimum"] == pytest.approx(np.nanmin(made[0]), rel=1e-6)


def test_four_bands_of_bytes_are_not_taken_for_colour_and_alpha(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 255, (4, 90, 80), dtype=np.uint8)
    blocks = blocks_of(grid(90, 80), 64)
    encoding = Encoding("uint8", 255, 4, blocksize=64)
    write_cog(tmp_path / "m.tif", parts_of(blocks, image, encoding), blocks, encoding, band_names=tuple("abcd"))
    with rasterio.open(tmp_path / "m.tif") as made:
        assert "alpha" not in [each.name for each in made.colorinterp]
        assert (made.read() == image).all()


@pytest.mark.parametrize(
    ("transform", "crs"),
    [
        (Affine.identity(), None),
        (Affine(25, 10, 400_000, 10, -25, 2_800_000), "EPSG:32618"),
        (Affine(0.1, 0, -78, 0, -0.1, 25), "EPSG:4326"),
    ],
    ids=["no CRS", "rotated", "degrees"],
)
def test_any_grid_is_kept_as_it_is(tmp_path: Path, transform: Affine, crs: str | None) -> None:
    blocks = blocks_of(GeoBox((70, 80), transform, crs), 64)
    image = noise(70, 80)
    facts = write_cog(tmp_path / "m.tif", parts_of(blocks, image, classes_of()), blocks, classes_of(), classes=CLASSES)
    assert (read(tmp_path / "m.tif") == image).all()
    assert facts.transform == tuple(transform)[:6]
    assert facts.crs == crs


def test_bytes_that_do_not_read_back_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lies: one byte of the file is another when it is read again."""
    import swath.maps.cog.cog as cog

    def lying(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(-20, 2)
            byte = file.read(1)[0]
            file.seek(-20, 2)
            file.write(bytes([byte ^ 1]))

    monkeypatch.setattr(cog, "sync", lying)
    blocks = blocks_of(grid(64, 64), 64)
    with pytest.raises(TaskFailed, match="does not read back as it was written"):
        write_cog(
            tmp_path / "m.tif", parts_of(blocks, noise(64, 64), classes_of()), blocks, classes_of(), classes=CLASSES
        )


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 3 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a tmpfs")
    yield folder  # type: ignore[misc]
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_an_error_that_names_the_file_and_the_old_map_stays(small_disk: Path) -> None:
    (small_disk / "m.tif").write_bytes(b"old")
    blocks, encoding = blocks_of(grid(2300, 2300), 512), Encoding("uint8", 255)
    image = np.random.default_rng(7).integers(0, 255, (1, 2300, 2300), dtype=np.uint8)
    with pytest.raises(TaskFailed, match=r"m\.tif could not be written: .* bytes are free in"):
        write_cog(small_disk / "m.tif", parts_of(blocks, image, encoding), blocks, encoding)
    assert [(p.name, p.read_bytes()) for p in small_disk.iterdir()] == [("m.tif", b"old")]


def test_an_alpha_band_is_the_last_one_and_says_what_is_valid(tmp_path: Path) -> None:
    image = np.concatenate([noise(96, 80, top) for top in (3, 9, 2)])
    image[2] = np.where(np.indices((96, 80))[1] < 30, 0, 255)
    encoding = Encoding("uint8", 0, 3, blocksize=64, categorical=True, alpha=True)
    blocks = blocks_of(grid(96, 80), 64)
    facts = write_cog(
        tmp_path / "m.tif", parts_of(blocks, image, encoding), blocks, encoding, band_names=("a", "b", "c")
    )
    with rasterio.open(tmp_path / "m.tif") as made:
        assert [each.name for each in made.colorinterp] == ["gray", "undefined", "alpha"]
        assert made.nodata is None
        assert (made.read() == image).all()
    assert facts.valid == 96 * 50
