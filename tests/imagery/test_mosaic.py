"""Mosaics: every rule against the same rule written pixel by pixel, in any window, and within bounded memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swath.errors import ReadFailed
from swath.geo import Window
from swath.imagery.geometry.image_grid import area_mask, image_grid, output_window, pixel_offset
from swath.imagery.reading import mosaic as read_module
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.area import Area
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, Mask, StacImagery
from tests.imagery.rasters import write

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
    layers: Any, monkeypatch: pytest.MonkeyPatch, rule: str, row: int, col: int, height: int, width: int, physical: bool
) -> None:
    monkeypatch.setattr(read_module, "MEDIAN_BYTES", 2000)  # several pieces
    scenes, arrays, known = layers
    pixels, valid = read_mosaic(replace(scenes, mosaic=rule), Window(row, col, height, width), reflectance=physical)
    assert pixels.dtype == (np.float32 if physical else np.int16)
    for r in range(height):
        for c in range(width):
            expected = pixel_by_pixel(rule, arrays, known, row + r, col + c)
            assert valid[r, c] == (expected is not None)
            values = expected if expected is None or not physical else [value * 0.5 - 1.0 for value in expected]
            assert pixels[:, r, c].tolist() == (values or [0, 0])


def test_a_median_of_many_scenes_takes_no_more_memory_than_of_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_module, "MEDIAN_BYTES", 2**20)
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
            pixels, valid = read_mosaic(scenes, Window(0, 0, 512, 512))
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


def test_the_report_names_each_band_that_is_resampled_and_how(shared: Path) -> None:
    catalog = str(shared / "data/stac/catalog.json")
    scl = Mask(band="scl", kind="scl")
    one = StacImagery(
        catalog=catalog, ids=("S2A_29RKH_20200219_0_L2A",), bands=("B04", "B11"), resampling="bilinear", mask=scl
    )
    notes = find(one).notes
    assert notes == (
        "B11 (200 in EPSG:32629): resampled, bilinear",
        f"{find(one).scenes[0].quality.name} (200 in EPSG:32629): resampled, nearest",  # type: ignore[union-attr]
    )
    both = StacImagery(
        catalog=catalog,
        ids=("S2A_29RKH_20200219_0_L2A", "S2A_29RKH_as_28N_derived"),
        bands=("B04",),
        resampling="cubic",
    )
    (note,) = (note for note in find(both).notes if "resampled" in note)
    assert note.endswith("resampled, cubic, in 1 of 2 scenes")


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


@pytest.mark.parametrize("grid", [None, GridSpec(crs="EPSG:32601", resolution=200)])
def test_three_spellings_of_an_area_over_the_antimeridian_give_the_same_pixels(
    shared: Path, grid: GridSpec | None
) -> None:
    imagery = FilesImagery(paths=(str(shared / "data/labels/aleutians_qa_pixel.tif"),))
    found = []
    for spelling in ("split", "unsplit", "wrapped"):
        path = str(shared / f"data/aoi/rat_islands_antimeridian_{spelling}.geojson")
        area = Area.model_validate(path)
        scenes = find(imagery, None, area, grid)
        window = output_window(scenes.image, area)
        pixels, valid = read_mosaic(scenes, window)
        found.append((scenes.image, window, pixels, valid & area_mask(area, scenes.image, window)))
    for image, window, pixels, valid in found[1:]:
        assert (image, window) == found[0][:2]
        assert (pixels == found[0][2]).all()
        assert (valid == found[0][3]).all()
    middle = found[0][3]
    assert middle.mean() > 0.5
    assert middle[middle.shape[0] // 2].mean() > 0.8  # both sides of 180 degrees, and what is between
