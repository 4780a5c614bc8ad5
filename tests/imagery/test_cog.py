"""The map's file: strict COG, the parts' very bytes, the source's grid."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import warnings
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
from swath.imagery.cog import write_cog
from swath.imagery.legend import MapClass
from swath.imagery.part import Part

CLASSES = (MapClass(0, "land", (200, 180, 120)), MapClass(1, "water & ice", (30, 90, 200)))


def blocks_of(geobox: GeoBox, size: int, output: Window | None = None, wanted: tuple[int, ...] | None = None) -> Blocks:
    output = output or Window(0, 0, *geobox.shape)
    return Blocks(image=geobox, output=output, size=size, halo=0, stride=1, wanted=wanted)


def parts_of(blocks: Blocks, image: np.ndarray, nodata: float) -> list[Part]:
    """Cut `image` (bands, rows, columns of the whole image grid) into the blocks' parts."""
    found = []
    for block in blocks:
        pixels = image[:, *block.window.roi]
        valid = int((pixels != nodata).any(axis=0).sum())
        found.append(Part.pack(block.index, block.window, pixels, valid))
    return found


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
    blocks = blocks_of(geobox, 200)
    parts = parts_of(blocks, image, 0)
    facts = write_cog(
        tmp_path / "map.tif",
        parts,
        blocks,
        dtype="uint8",
        nodata=0,
        band_names=("red", "green", "blue"),
        tags={"A": "b"},
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
    write_cog(tmp_path / "m.tif", parts_of(blocks, image, 255), blocks, dtype="uint8", nodata=255, classes=CLASSES)
    assert (read(tmp_path / "m.tif") == image[:, *window.roi]).all()
    with rasterio.open(tmp_path / "m.tif") as made:
        assert (made.transform.c, made.transform.f) == (400_000 + 270 * 30, 2_800_000 - 130 * 30)


def test_the_order_of_parts_does_not_change_a_byte(tmp_path: Path) -> None:
    blocks = blocks_of(grid(1100, 1300), 300)
    parts = parts_of(blocks, noise(1100, 1300), 255)
    write_cog(tmp_path / "a.tif", parts, blocks, dtype="uint8", nodata=255, classes=CLASSES)
    random.Random(1).shuffle(parts)
    write_cog(tmp_path / "b.tif", iter(parts), blocks, dtype="uint8", nodata=255, classes=CLASSES)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == [
        "a.tif",
        "a.tif.aux.xml",
        "b.tif",
        "b.tif.aux.xml",
    ]


def test_missing_and_unwanted_blocks_are_nodata_and_the_missing_are_named(tmp_path: Path) -> None:
    blocks = blocks_of(grid(300, 300), 100, wanted=(0, 4, 8))
    image = noise(300, 300)
    parts = [part for part in parts_of(blocks, image, 255) if part.index != 4]
    facts = write_cog(tmp_path / "m.tif", parts, blocks, dtype="uint8", nodata=255, classes=CLASSES)
    expected = np.full_like(image, 255)
    expected[0, :100, :100] = image[0, :100, :100]
    expected[0, 200:, 200:] = image[0, 200:, 200:]
    assert (read(tmp_path / "m.tif") == expected).all()
    assert (facts.blocks, facts.missing, facts.valid) == (2, (4,), 20_000)
    assert facts.counts == {0: int((expected == 0).sum()), 1: int((expected == 1).sum())}


def test_a_map_of_nothing_but_nodata_is_still_a_valid_file(tmp_path: Path) -> None:
    blocks = blocks_of(grid(600, 600), 600)
    facts = write_cog(tmp_path / "m.tif", [], blocks, dtype="uint8", nodata=255, classes=CLASSES)
    assert (read(tmp_path / "m.tif") == 255).all()
    assert (facts.valid, facts.statistics) == (0, ({"valid_percent": 0.0},))


def test_a_class_map_has_colours_names_and_transparent_nodata(tmp_path: Path) -> None:
    blocks = blocks_of(grid(50, 60), 64)
    write_cog(
        tmp_path / "m.tif", parts_of(blocks, noise(50, 60), 255), blocks, dtype="uint8", nodata=255, classes=CLASSES
    )
    with rasterio.open(tmp_path / "m.tif") as made:
        colors = made.colormap(1)
        assert (colors[0], colors[1], colors[255][3]) == ((200, 180, 120, 255), (30, 90, 200, 255), 0)
        assert json.loads(made.tags(1)["CLASSES"]) == {"0": "land", "1": "water & ice"}
    rasterio.shutil.copy(tmp_path / "m.tif", tmp_path / "m.vrt", driver="VRT")  # GDAL itself finds the names
    assert "<Category>water &amp; ice</Category>" in (tmp_path / "m.vrt").read_text()


def test_overviews_of_classes_hold_only_classes(tmp_path: Path) -> None:
    classes = (MapClass(1, "a", (1, 1, 1)), MapClass(200, "b", (2, 2, 2)))
    image = np.where(noise(1200, 1200) == 0, 1, 200).astype(np.uint8)
    blocks = blocks_of(grid(1200, 1200), 600)
    write_cog(tmp_path / "m.tif", parts_of(blocks, image, 255), blocks, dtype="uint8", nodata=255, classes=classes)
    with rasterio.open(tmp_path / "m.tif", overview_level=1) as made:
        assert set(np.unique(made.read())) == {1, 200}


def test_float_maps_keep_nan_as_nodata_and_every_bit(tmp_path: Path) -> None:
    image = np.random.default_rng(1).normal(size=(2, 700, 640)).astype(np.float32)
    image[:, 100:300, 50:400] = np.nan
    blocks = blocks_of(grid(700, 640), 256, wanted=tuple(range(8)))
    names = ("depth", "error")
    facts = write_cog(
        tmp_path / "m.tif", parts_of(blocks, image, 0), blocks, dtype="float32", nodata=float("nan"), band_names=names
    )
    made = read(tmp_path / "m.tif")
    assert made[:, :512, :512].tobytes() == image[:, :512, :512].tobytes()
    assert np.isnan(made[:, 512:, 512:]).all()
    assert facts.bands == names
    assert facts.statistics[0]["minimum"] == pytest.approx(np.nanmin(made[0]), rel=1e-6)


def test_four_bands_of_bytes_are_not_taken_for_colour_and_alpha(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 255, (4, 90, 80), dtype=np.uint8)
    blocks = blocks_of(grid(90, 80), 64)
    write_cog(
        tmp_path / "m.tif", parts_of(blocks, image, 255), blocks, dtype="uint8", nodata=255, band_names=tuple("abcd")
    )
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
    blocks = blocks_of(GeoBox((70, 80), transform, crs), 32)
    image = noise(70, 80)
    facts = write_cog(
        tmp_path / "m.tif", parts_of(blocks, image, 255), blocks, dtype="uint8", nodata=255, classes=CLASSES
    )
    assert (read(tmp_path / "m.tif") == image).all()
    assert facts.transform == tuple(transform)[:6]
    assert facts.crs == crs


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(1, 70), given_share=st.floats(0, 1), seed=st.integers(0, 99)
)  # fmt: skip
def test_any_blocks_in_any_order_make_the_same_pixels(
    tmp_path: Path, height: int, width: int, size: int, given_share: float, seed: int
) -> None:
    size = max(size, height // 6 + 1, width // 6 + 1)
    blocks, image, shuffle = blocks_of(grid(height, width), size), noise(height, width), random.Random(seed)
    parts = [part for part in parts_of(blocks, image, 255) if shuffle.random() < given_share]
    shuffle.shuffle(parts)
    expected = np.full_like(image, 255)
    for part in parts:
        expected[:, *part.window.roi] = image[:, *part.window.roi]
    facts = write_cog(tmp_path / "m.tif", parts, blocks, dtype="uint8", nodata=255, classes=CLASSES)
    assert (read(tmp_path / "m.tif") == expected).all()
    assert facts.valid == sum(facts.counts.values()) == int((expected != 255).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part, pixels: Part.pack(part.index + 1, part.window, pixels, 1), "the map has no such block"),
        (lambda part, pixels: Part.pack(part.index, part.window, pixels.astype("int16"), 1), "1 bands of int16"),
        (lambda part, pixels: Part.pack(part.index, part.window, pixels + 7, 1), "holds the value 7"),
        (lambda part, pixels: part, "given twice"),
    ],
)
def test_a_part_that_does_not_belong_is_refused_and_leaves_nothing(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    blocks, image = blocks_of(grid(64, 64), 32), noise(64, 64)
    parts = parts_of(blocks, image, 255)
    parts.insert(0, change(parts[0], parts[0].pixels()))
    with pytest.raises(TaskFailed, match=message):
        write_cog(tmp_path / "m.tif", parts, blocks, dtype="uint8", nodata=255, classes=CLASSES)
    assert [p for p in tmp_path.iterdir() if p.is_file()] == []


def test_pixels_that_do_not_read_back_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that lies: the translated file differs in one pixel from what was given."""
    import swath.imagery.cog as cog

    blocks, image = blocks_of(grid(64, 64), 32), noise(64, 64)
    honest = cog._translate

    def lying(tiles: Path, made: Path, *rest: object) -> None:
        with rasterio.open(tiles, "r+") as file:
            file.write(np.array([[[1 - image[0, 40, 40]]]], dtype=np.uint8), window=((40, 41), (40, 41)))
        honest(tiles, made, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cog, "_translate", lying)
    with pytest.raises(TaskFailed, match=r"block 3 at .* does not read back"):
        write_cog(tmp_path / "m.tif", parts_of(blocks, image, 255), blocks, dtype="uint8", nodata=255, classes=CLASSES)


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


@pytest.mark.parametrize("side", [1500, 2300], ids=["at the COG", "at the tiles"])
def test_a_full_disk_is_an_error_that_names_the_file_and_the_old_map_stays(small_disk: Path, side: int) -> None:
    (small_disk / "m.tif").write_bytes(b"old")
    blocks = blocks_of(grid(side, side), 512)
    image = np.random.default_rng(7).integers(0, 255, (1, side, side), dtype=np.uint8)
    with pytest.raises(TaskFailed, match=r"m\.tif could not be written: .* bytes are free in"):
        write_cog(small_disk / "m.tif", parts_of(blocks, image, 255), blocks, dtype="uint8", nodata=255)
    assert [(p.name, p.read_bytes()) for p in small_disk.iterdir()] == [("m.tif", b"old")]
