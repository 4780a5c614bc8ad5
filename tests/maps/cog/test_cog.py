"""The map's file: strict COG, the parts' very pixels, the source's grid, the same bytes from any regions."""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from rio_cogeo.cogeo import cog_validate

from swath.errors import TaskFailed
from swath.geo import Blocks, Window
from swath.maps.cog.cog import write_cog
from swath.maps.cog.encoded_part import EncodedPart, count_levels, encode_part
from swath.maps.cog.encoding import Encoding
from swath.maps.cog.tiff_header import Level, build_header, level_shapes
from swath.maps.legend import MapClass

CLASSES = (MapClass(0, "land", (200, 180, 120)), MapClass(1, "water & ice", (30, 90, 200)))


def blocks_of(geobox: GeoBox, size: int, output: Window | None = None, wanted: tuple[int, ...] | None = None) -> Blocks:
    output = output or Window(0, 0, *geobox.shape)
    return Blocks(image=geobox, output=output, size=size, halo=0, stride=1, wanted=wanted)


def parts_of(blocks: Blocks, image: np.ndarray, encoding: Encoding) -> list[EncodedPart]:
    """Cut `image` (bands, rows, columns of the whole image grid) into the parts of the regions."""
    levels = count_levels(blocks.size, encoding.blocksize, len(level_shapes(*blocks.output.shape, encoding.blocksize)))
    return [encode_part(block.index, block.window, image[:, *block.window.roi], encoding, levels) for block in blocks]


def classes_of(blocksize: int = 64) -> Encoding:
    return Encoding("uint8", 255, classes=True, blocksize=blocksize)


def grid(height: int, width: int, crs: str | None = "EPSG:32618") -> GeoBox:
    return GeoBox((height, width), Affine(30, 0, 400_000, 0, -30, 2_800_000), crs)


def noise(height: int, width: int, top: int = 2) -> np.ndarray:
    return np.random.default_rng(7).integers(0, top, (1, height, width), dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read()


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


def test_a_file_above_four_gigabytes_is_a_bigtiff_and_others_are_not() -> None:
    def start(size: int) -> bytes:
        levels = [Level(65536, 65536, np.full(128 * 128, size, np.uint64)), Level(512, 512, np.full(1, 9, np.uint64))]
        return build_header([], levels, 512, 1)[:4]

    assert start(200_000) == b"II*\0"
    assert start(300_000) == b"II+\0"


def test_overviews_take_the_most_frequent_class_and_the_mean_of_numbers() -> None:
    quarters = np.array([[1, 1, 255, 255, 2, 3, 1, 0], [2, 3, 255, 4, 3, 2, 2, 255]], np.uint8)[None]
    assert Encoding("uint8", 255, classes=True).downsample(quarters).tolist() == [[[1, 4, 2, 1]]]
    numbers = np.array([[1, 2, 0, 0, 7], [3, 4, 0, 5, 0]], np.uint16)[None]
    assert Encoding("uint16", 0).downsample(numbers).tolist() == [[[2, 5, 7]]]
    floats = np.array([[1, 2, np.nan], [3, 4, np.nan]], np.float32)[None]
    np.testing.assert_array_equal(Encoding("float32", math.nan).downsample(floats), [[[2.5, np.nan]]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_overview_of_classes_is_what_counting_gives(seed: int) -> None:
    four = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (1, 2, 64))
    made = Encoding("uint8", 255, classes=True).downsample(four)[0, 0]
    for column, found in enumerate(made):
        votes = [v for v in four[0, :, 2 * column : 2 * column + 2].ravel().tolist() if v != 255]
        expected = max(votes, key=lambda v: (votes.count(v), -votes.index(v))) if votes else 255
        assert found == expected


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_a_tile_is_decoded_to_what_it_was(dtype: str) -> None:
    encoding = Encoding(dtype, 0, 3, blocksize=32)
    random = np.random.default_rng(3)
    tile = random.normal(0, 60, (3, 20, 32)).astype(dtype)
    assert np.array_equal(encoding.decode(encoding.encode(tile))[:, :20], tile)


def test_missing_and_unwanted_blocks_are_nodata_and_the_missing_are_named(tmp_path: Path) -> None:
    blocks = blocks_of(grid(320, 320), 128, wanted=(0, 4, 8))
    image = noise(320, 320)
    parts = [part for part in parts_of(blocks, image, classes_of()) if part.index != 4]
    facts = write_cog(tmp_path / "m.tif", parts, blocks, classes_of(), classes=CLASSES)
    expected = np.full_like(image, 255)
    expected[0, :128, :128] = image[0, :128, :128]
    expected[0, 256:, 256:] = image[0, 256:, 256:]
    assert (read(tmp_path / "m.tif") == expected).all()
    assert (facts.blocks, facts.missing, facts.valid) == (2, (4,), 128 * 128 + 64 * 64)
    assert facts.counts == {0: int((expected == 0).sum()), 1: int((expected == 1).sum())}


def test_a_map_of_nothing_but_nodata_is_still_a_valid_file(tmp_path: Path) -> None:
    blocks = blocks_of(grid(600, 600), 640)
    facts = write_cog(tmp_path / "m.tif", [], blocks, classes_of(), classes=CLASSES)
    assert (read(tmp_path / "m.tif") == 255).all()
    assert (facts.valid, facts.statistics) == (0, ({"valid_percent": 0.0},))


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


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 200), width=st.integers(1, 200), size=st.integers(1, 5), given_share=st.floats(0, 1), seed=st.integers(0, 99)
)  # fmt: skip
def test_any_regions_that_are_there_make_the_same_pixels(
    tmp_path: Path, height: int, width: int, size: int, given_share: float, seed: int
) -> None:
    encoding = classes_of(16)
    blocks, image, chance = blocks_of(grid(height, width), 16 * size), noise(height, width), random.Random(seed)
    parts = [part for part in parts_of(blocks, image, encoding) if chance.random() < given_share]
    expected = np.full_like(image, 255)
    for part in parts:
        expected[:, *part.window.roi] = image[:, *part.window.roi]
        inner = Window(part.window.row, part.window.col, *(-(-length // 2) for length in part.window.shape))
        assert np.array_equal(part.read(inner), image[:, *inner.roi])
    facts = write_cog(tmp_path / "m.tif", parts, blocks, encoding, classes=CLASSES)
    assert (read(tmp_path / "m.tif") == expected).all()
    assert facts.valid == sum(facts.counts.values()) == int((expected != 255).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: [replace(parts[0], index=1), *parts[1:]], "the map has no such region"),
        (lambda parts: [replace(parts[0], encoding=Encoding("int16", 255)), *parts[1:]], "is encoded as"),
        (lambda parts: [replace(parts[0], counts=((7, 1),)), *parts[1:]], "holds the value 7"),
        (lambda parts: [parts[0], *parts], "given twice"),
        (lambda parts: parts[::-1], "came after region"),
    ],
)
def test_a_part_that_does_not_belong_is_refused_and_leaves_nothing(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    blocks, image = blocks_of(grid(128, 128), 64), noise(128, 128)
    with pytest.raises(TaskFailed, match=message):
        write_cog(
            tmp_path / "m.tif", change(parts_of(blocks, image, classes_of())), blocks, classes_of(), classes=CLASSES
        )
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


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


def test_tiles_in_a_wrong_place_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own: GDAL decodes other pixels than were given."""
    import swath.maps.cog.assembly as assembly

    blocks, whole = blocks_of(grid(128, 128), 64), assembly.Assembly._full_tiles
    monkeypatch.setattr(assembly.Assembly, "_full_tiles", lambda self: reversed(list(whole(self))))
    image = np.zeros((1, 128, 128), np.uint8)
    image[:, :64, :64] = noise(64, 64)
    with pytest.raises(TaskFailed, match=r"does not read back as it was given|no valid COG"):
        write_cog(tmp_path / "m.tif", parts_of(blocks, image, classes_of()), blocks, classes_of(), classes=CLASSES)


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
