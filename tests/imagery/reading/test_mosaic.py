"""Mosaics: every rule against the same rule written pixel by pixel, in any window, and within bounded memory."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import ImageryError, ReadFailed
from swath.geo import Window
from swath.imagery.geometry.image_grid import image_grid, pixel_offset
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.imagery import FilesImagery, Mask
from tests.imagery.rasters import write
from tests.imagery.reading.scenes import files, in_tiles, stac, whole


@pytest.mark.parametrize("mosaic", ["first", "last"])
def test_the_landsat_pair_overlaps_as_the_rule_says_in_both_orders(shared: Path, mosaic: str) -> None:
    paths = [shared / f"data/imagery/landsat8_{name}_20200518.tif" for name in ("224077", "224078")]
    for order in itertools.permutations(paths):
        scenes = files(*order, mosaic=mosaic)
        pixels, valid = read_mosaic(scenes, whole(scenes))
        expected = np.zeros_like(pixels)
        painting = order[::-1] if mosaic == "first" else order
        for path in painting:  # the last that is painted wins
            with rasterio.open(path) as file:
                numbers, good = file.read(), file.dataset_mask() > 0
            scene = next(s for s in scenes.scenes if s.id == path.stem)
            row, col = pixel_offset(scene.bands[0].geobox, scenes.image) or (0, 0)
            target = expected[:, row : row + 1024, col : col + 1024]
            target[:, good] = numbers[:, good]
        assert (pixels == expected).all()
        assert (valid == expected.any(axis=0)).all()


def test_the_median_takes_the_lower_middle_of_valid_values_and_keeps_the_dtype(tmp_path: Path) -> None:
    layers = [
        np.array([[[9, 0, 3, 0]], [[1, 0, 8, 0]]], np.uint8),
        np.array([[[5, 0, 4, 7]], [[2, 0, 9, 7]]], np.uint8),
        np.array([[[255, 0, 0, 0]], [[3, 0, 0, 0]]], np.uint8),
    ]
    paths = [write(tmp_path / f"{i}.tif", layer, nodata=0) for i, layer in enumerate(layers)]
    pixels, valid = read_mosaic(files(*paths, mosaic="median"), Window(0, 0, 1, 4))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[[9, 0, 3, 7]], [[2, 0, 8, 7]]]
    assert valid.tolist() == [[True, False, True, True]]


def test_the_quality_mask_removes_exactly_its_classes(shared: Path) -> None:
    mask = Mask(band="scl", kind="scl", reject=("cloud", "cloud_shadow"))
    masked = stac(shared, "S2A_29RKH_20200219_0_L2A", bands=("B04",), mask=mask)
    plain = replace(masked, mask=None)
    window = whole(masked)
    with rasterio.open(shared / "data/stac/S2A_29RKH_20200219_0_L2A/SCL.tif") as file:
        classes = np.repeat(np.repeat(file.read(1), 2, 0), 2, 1)[window.roi]
    _, before = read_mosaic(plain, window)
    pixels, after = read_mosaic(masked, window)
    assert (after == (before & ~np.isin(classes, (0, 3, 8, 9)))).all()
    assert 0 < after.sum() < before.sum()
    assert (pixels[:, ~after] == 0).all()


def test_landsat_numbers_become_reflectance_and_clouds_go(shared: Path) -> None:
    mask = Mask(band="qa_pixel", kind="qa_pixel", reject=("cloud",))
    name = "LC08_L2SP_008059_20191201_20200825_02_T1"
    scenes = stac(shared, name, bands=("red", "nir08"), mask=mask)
    pixels, valid = read_mosaic(scenes, whole(scenes), reflectance=True)
    with rasterio.open(shared / f"data/stac/{name}/SR_B4.tif") as file:
        numbers = file.read(1)
    with rasterio.open(shared / f"data/stac/{name}/QA_PIXEL.tif") as file:
        flags = file.read(1)
    assert pixels.dtype == np.float32
    expected = (numbers.astype(np.float64) * 2.75e-5 - 0.2).astype(np.float32)
    assert 0.05 < valid.mean() < 0.6
    assert (pixels[0][valid] == expected[valid]).all()
    assert not (flags[valid] & 0b1001).any()


def test_reflectance_without_a_scale_says_what_to_set(shared: Path) -> None:
    scenes = files(shared / "data/imagery/landsat8_224077_20200518.tif")
    with pytest.raises(ImageryError, match=r"Set imagery.scale"):
        read_mosaic(scenes, Window(0, 0, 5, 5), reflectance=True)


def test_a_scale_of_zero_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((1, 4, 4), np.uint8))
    with pytest.raises(ImageryError, match="the scale of band 1 is 0, so all its pixels would have one physical value"):
        read_mosaic(find(FilesImagery(paths=(str(path),), scale=0)), Window(0, 0, 4, 4), reflectance=True)


def test_each_scene_is_scaled_before_the_mosaic(tmp_path: Path) -> None:
    one = write(tmp_path / "one.tif", np.array([[[10, 0]]], np.uint8), nodata=0)
    other = write(tmp_path / "two.tif", np.array([[[99, 10]]], np.uint8), nodata=0)
    with rasterio.open(one, "r+") as file:
        file.scales, file.offsets = (0.5,), (1.0,)
    with rasterio.open(other, "r+") as file:
        file.scales = (0.1,)
    pixels, _ = read_mosaic(files(one, other), Window(0, 0, 1, 2), reflectance=True)
    assert pixels.tolist() == [[[6, 1]]]


@pytest.mark.parametrize(
    "resampling",
    ["cubic", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nearest", "bilinear", "average"))],
)
def test_two_zones_read_in_tiles_equal_one_read_bit_for_bit(shared: Path, resampling: str) -> None:
    ids = ("S2A_29RKH_20200219_0_L2A", "S2A_29RKH_as_28N_derived")
    scenes = stac(shared, *ids, bands=("B04", "B08"), resampling=resampling, mosaic="last")
    pixels, valid = read_mosaic(scenes, whole(scenes))
    tiled, tiled_valid = in_tiles(scenes, 333)
    assert (tiled == pixels).all()
    assert (tiled_valid == valid).all()


def test_different_dtypes_meet_in_the_smallest_that_holds_both(tmp_path: Path) -> None:
    one = write(tmp_path / "a.tif", np.full((1, 4, 4), 200, np.uint8))
    two = write(tmp_path / "b.tif", np.full((1, 4, 4), -5, np.int16), at=(500_040, 5_000_000))
    pixels, _ = read_mosaic(files(one, two), Window(0, 0, 4, 8))
    assert pixels.dtype == np.int16
    assert np.unique(pixels).tolist() == [-5, 200]


EDGE = 40


@pytest.fixture(scope="module")
def layers(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Scenes, list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """Five scenes somewhere on a canvas: as swath finds them, and as whole arrays of pixels and of what is valid."""
    folder, random = tmp_path_factory.mktemp("mosaic"), np.random.default_rng(5)
    paths = []
    for number in range(5):
        numbers = random.integers(0, 4, (2, 24, 26)).astype(np.uint8 if number % 2 else np.int16)
        quality = random.choice([0, 0, 0, 2, 255], (1, 24, 26)).astype(numbers.dtype)
        at = (500_000 + 10 * int(random.integers(0, 14)), 5_000_000 - 10 * int(random.integers(0, 14)))
        paths.append(write(folder / f"{number}.tif", np.concatenate([numbers, quality]), at=at, names=("a", "b", "q")))
    scenes = find(
        FilesImagery(
            paths=tuple(map(str, paths)),
            bands=("a", "b"),
            nodata=0,
            mask=Mask(band="q", kind="fmask"),
            scale=0.5,
            offset=-1.0,
        )
    )
    arrays, known = [], []
    for scene in scenes.scenes:
        row, col = pixel_offset(scene.bands[0].geobox, scenes.image) or (0, 0)
        pixels, valid = np.zeros((2, EDGE, EDGE), int), np.zeros((EDGE, EDGE), bool)
        with rasterio.open(scene.bands[0].href) as file:
            everything = file.read()
        pixels[:, row : row + 24, col : col + 26] = everything[:2]
        valid[row : row + 24, col : col + 26] = (everything[:2] != 0).any(axis=0) & (everything[2] == 0)
        arrays.append(pixels)
        known.append(valid)
    return scenes, arrays, known


def pixel_by_pixel(rule: str, arrays: list[Any], known: list[Any], row: int, col: int) -> list[int] | None:
    if not (0 <= row < EDGE and 0 <= col < EDGE):
        return None
    values = [a[:, row, col].tolist() for a, k in zip(arrays, known, strict=True) if k[row, col]]
    if not values:
        return None
    if rule == "median":
        return [sorted(band)[(len(band) - 1) // 2] for band in zip(*values, strict=True)]
    return values[-1] if rule == "last" else values[0]


@pytest.mark.parametrize("rule", ["first", "last", "median", "least_cloud"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-5, 38), st.integers(-5, 38), st.integers(1, 30), st.integers(1, 30), st.booleans())
def test_every_rule_is_that_rule_pixel_by_pixel(
    layers: Any, rule: str, row: int, col: int, height: int, width: int, physical: bool
) -> None:
    scenes, arrays, known = layers
    window = Window(row, col, height, width)
    # With so little memory a median is made in several pieces.
    pixels, valid = read_mosaic(replace(scenes, mosaic=rule), window, reflectance=physical, median_bytes=2000)
    assert pixels.dtype == (np.float32 if physical else np.int16)
    for r in range(height):
        for c in range(width):
            expected = pixel_by_pixel(rule, arrays, known, row + r, col + c)
            assert valid[r, c] == (expected is not None)
            values = expected if expected is None or not physical else [value * 0.5 - 1.0 for value in expected]
            assert pixels[:, r, c].tolist() == (values or [0, 0])


def test_a_median_of_many_scenes_takes_no_more_memory_than_of_few(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(1, 2**16, (2, 512, 512), dtype=np.uint16)
    paths = [
        write(tmp_path / f"{i:02}.tif", np.roll(noise, i, axis=2), tiled=True, blockxsize=128, blockysize=128)
        for i in range(24)
    ]
    peaks = []
    for count in (6, 24):
        scenes = find(FilesImagery(paths=tuple(map(str, paths[:count])), mosaic="median"))
        read_mosaic(scenes, Window(0, 0, 8, 8))
        tracemalloc.start()
        try:
            pixels, valid = read_mosaic(scenes, Window(0, 0, 512, 512), median_bytes=2**20)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert valid.all()
        expected = np.sort(np.stack([np.roll(noise, i, axis=2) for i in range(count)]), axis=0)[(count - 1) // 2]
        assert (pixels == expected).all()
    assert peaks[1] < 1.2 * peaks[0]


def test_of_a_scene_underneath_only_the_part_is_read_that_is_missing(tmp_path: Path) -> None:
    top = np.ones((1, 512, 512), np.uint8)
    top[:, 100:110, 300:310] = 0
    above = write(tmp_path / "top.tif", top, nodata=0)
    noise = np.random.default_rng(1).integers(1, 255, (1, 512, 512), dtype=np.uint8)
    below = write(tmp_path / "below.tif", noise, tiled=True, blockxsize=128, blockysize=128, nodata=0)
    with below.open("r+b") as file:  # all blocks but the ones that are needed are cut off
        file.truncate(below.stat().st_size - 8 * 128 * 128)
    with pytest.raises(ReadFailed):
        read_mosaic(find(FilesImagery(paths=(str(below),))), Window(0, 0, 512, 512))
    scenes = find(FilesImagery(paths=(str(above), str(below))))
    pixels, valid = read_mosaic(scenes, Window(0, 0, 512, 512))
    assert valid.all()
    assert (pixels[0, 100:110, 300:310] == noise[0, 100:110, 300:310]).all()
    assert (pixels[0][top[0] == 1] == 1).all()


def test_ten_twenty_and_sixty_metres_are_one_stack(tmp_path: Path) -> None:
    paths = {}
    for name, size, value in (("ten", 10, 1), ("twenty", 20, 2), ("sixty", 60, 3)):
        edge = 120 // size
        numbers = np.arange(edge * edge, dtype=np.uint16).reshape(1, edge, edge) + 100 * value
        paths[name] = write(tmp_path / f"{name}.tif", numbers, size=size, names=(name,))
    found = [find(FilesImagery(paths=(str(path),))).scenes[0].bands[0] for path in paths.values()]
    scene = replace(find(FilesImagery(paths=(str(paths["ten"]),))).scenes[0], bands=tuple(found))
    scenes = Scenes((scene,), image_grid([scene]), ("ten", "twenty", "sixty"))
    pixels, valid = read_mosaic(scenes, Window(0, 0, 12, 12))
    assert valid.all()
    for layer, size, value in zip(pixels, (10, 20, 60), (1, 2, 3), strict=True):
        edge = 120 // size
        numbers = np.arange(edge * edge).reshape(edge, edge) + 100 * value
        assert (layer == np.kron(numbers, np.ones((size // 10, size // 10), int))).all()
