"""Reads: equal to plain rasterio on the source grid, independent of the window, honest about what is not there."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT

from swath.errors import ImageryError, ReadFailed
from swath.geo import Blocks, Window
from swath.imagery.geometry.image_grid import output_window, pixel_offset
from swath.imagery.reading import dataset_cache, open_raster
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.remote import range_request, timeouts
from swath.imagery.scene import Scenes
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery, Mask, StacImagery
from tests.imagery.rasters import write


def files(*paths: Path | str, grid: GridSpec | None = None, bands: Any = None, **spec: Any) -> Scenes:
    return find(FilesImagery(paths=tuple(map(str, paths)), **spec), bands, None, grid)


def stac(shared: Path, *ids: str, bands: tuple[str, ...], grid: GridSpec | None = None, **spec: Any) -> Scenes:
    imagery = StacImagery(catalog=str(shared / "data/stac/catalog.json"), ids=ids, bands=bands, **spec)
    return find(imagery, None, None, grid)


def whole(scenes: Scenes) -> Window:
    return output_window(scenes.image, None)


def in_tiles(scenes: Scenes, size: int, **options: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    parts = [
        (b.window, *read_mosaic(scenes, b.window, **options)) for b in Blocks(scenes.image, whole(scenes), size, 0, 1)
    ]
    pixels = np.zeros((len(scenes.bands), *scenes.image.shape), parts[0][1].dtype)
    valid = np.zeros(scenes.image.shape, bool)
    for window, some, good in parts:
        pixels[(slice(None), *window.roi)], valid[window.roi] = some, good
    return pixels, valid


def test_bahamas_is_read_as_rasterio_reads_it(shared: Path) -> None:
    path = shared / "data/imagery/bahamas_rgb.tif"
    pixels, valid = read_mosaic(files(path), Window(0, 0, 718, 791))
    with rasterio.open(path) as file:
        expected, mask = file.read(), file.dataset_mask() > 0
    assert pixels.dtype == np.uint8
    assert (valid == mask).all()
    assert 0.3 < valid.mean() < 0.9
    assert (pixels == expected).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(-50, 800), st.integers(-50, 800), st.integers(1, 300), st.integers(1, 300))
def test_any_window_is_that_part_of_the_whole_and_outside_is_invalid(
    shared: Path, row: int, col: int, height: int, width: int
) -> None:
    scenes = files(shared / "data/imagery/bahamas_rgb.tif", bands=("blue", "red"))
    pixels, valid = read_mosaic(scenes, Window(row, col, height, width))
    everything = np.zeros((2, 1200, 1200), np.uint8)
    with rasterio.open(shared / "data/imagery/bahamas_rgb.tif") as file:
        everything[:, 50 : 50 + 718, 50 : 50 + 791] = file.read([3, 1])
    expected = everything[:, row + 50 : row + 50 + height, col + 50 : col + 50 + width]
    assert (pixels == expected).all()
    assert (valid == expected.any(axis=0)).all()


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


def test_nodata_in_one_band_only_is_data(tmp_path: Path) -> None:
    pixels = np.array([[[0, 0, 5]], [[0, 7, 0]]], np.uint8)
    read_back, valid = read_mosaic(files(write(tmp_path / "a.tif", pixels, nodata=0)), Window(0, 0, 1, 3))
    assert valid.tolist() == [[False, True, True]]
    assert (read_back == pixels).all()


def test_only_the_wanted_bands_decide(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.array([[[0, 3]], [[5, 0]]], np.uint8), nodata=0, names=("a", "b"))
    _, valid = read_mosaic(files(path, bands=("a",)), Window(0, 0, 1, 2))
    assert valid.tolist() == [[False, True]]


@pytest.mark.parametrize("warped", [False, True])
def test_mask_bands_alpha_and_nan_are_respected(tmp_path: Path, warped: bool) -> None:
    mask = np.full((40, 40), 255, np.uint8)
    mask[:, :20] = 0
    plain = np.full((1, 40, 40), 9, np.uint8)
    nan = np.full((1, 40, 40), 9, np.float32)
    nan[0][mask == 0] = np.nan
    paths = [
        write(tmp_path / "mask.tif", plain, mask=mask),
        write(tmp_path / "alpha.tif", np.concatenate([plain, mask[None]]), alpha="yes", photometric="minisblack"),
        write(tmp_path / "nan.tif", nan),
        write(tmp_path / "nodata_nan.tif", nan, nodata=float("nan")),
        write(tmp_path / "specs.tif", np.where(mask == 0, 3, plain)),
    ]
    for path in paths:
        # Without its own pixels the mask is half a source pixel off at most.
        scenes = files(
            path, nodata=3.0 if path.stem == "specs" else None, grid=GridSpec(resolution=5.0) if warped else None
        )
        assert len(scenes.bands) == 1
        pixels, valid = read_mosaic(scenes, whole(scenes))
        assert (pixel_offset(scenes.scenes[0].bands[0].geobox, scenes.image) is None) == warped
        expected = np.repeat(np.repeat(mask > 0, 2, 0), 2, 1) if warped else mask > 0
        assert (valid == expected).all(), path.stem
        assert (pixels[0] == np.where(expected, 9, 0)).all()


def test_a_coarser_band_is_brought_onto_the_finest(shared: Path) -> None:
    scenes = stac(shared, "S2A_29RKH_20200219_0_L2A", bands=("B04", "B11"))
    pixels, valid = read_mosaic(scenes, whole(scenes))
    folder = shared / "data/stac/S2A_29RKH_20200219_0_L2A"
    with rasterio.open(folder / "B04.tif") as file:
        red = file.read(1)
    with rasterio.open(folder / "B11.tif") as file:
        swir = np.repeat(np.repeat(file.read(1), 2, 0), 2, 1)
    assert (valid == ((red != 0) & (swir != 0))).all()
    assert (pixels[0] == np.where(valid, red, 0)).all()
    assert (pixels[1] == np.where(valid, swir, 0)).all()


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


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
def test_upsampled_bands_in_tiles_equal_one_read_bit_for_bit(shared: Path, resampling: str) -> None:
    scenes = stac(shared, "S2A_29RKH_20200219_0_L2A", bands=("B04", "B11"), resampling=resampling)
    pixels, valid = read_mosaic(scenes, whole(scenes))
    tiled, tiled_valid = in_tiles(scenes, 333)
    assert (tiled == pixels).all()
    assert (tiled_valid == valid).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(-40, 1100), st.integers(-40, 600), st.integers(1, 300), st.integers(1, 600))
def test_any_window_of_a_warped_scene_is_that_part_of_the_whole(
    shared: Path, row: int, col: int, height: int, width: int
) -> None:
    scenes = stac(
        shared, "S2A_29RKH_as_28N_derived", bands=("B04",), grid=GridSpec(crs="EPSG:32629"), resampling="cubic"
    )
    everything, known = read_mosaic(scenes, whole(scenes))
    pixels, valid = read_mosaic(scenes, Window(row, col, height, width))
    part = Window(row, col, height, width).intersection(whole(scenes))
    assert valid.sum() == (known[part.roi].sum() if part else 0)
    if part is not None:
        assert (pixels[:, *part.within(Window(row, col, height, width))] == everything[:, *part.roi]).all()


def bytes_read() -> int:
    counted = Path("/proc/self/io").read_text().splitlines()[0]
    return int(counted.removeprefix("rchar:"))


@pytest.mark.parametrize(("most", "times"), [(512, (0.9, 1.1)), (2, (1.4, 3.0))])
def test_bands_of_rows_that_overlap_decode_no_block_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, times: tuple[float, float]
) -> None:
    noise = np.random.default_rng(0).integers(1, 2**16, (4, 1536, 1536), dtype=np.uint16)
    path = write(
        tmp_path / "a.tif", noise, tiled=True, blockxsize=256, blockysize=256, compress="deflate", interleave="pixel"
    )
    monkeypatch.setattr(dataset_cache, "LEAST_CACHE", 2**20)
    monkeypatch.setattr(dataset_cache, "MOST_CACHE", most * 2**20)
    dataset_cache.DATASETS.close()
    scenes = files(path)
    read_mosaic(scenes, Window(0, 0, 1, 1))
    before = bytes_read()
    for row in range(0, 1536, 256):
        low, high = max(0, row - 48), min(1536, row + 256 + 48)
        pixels, _ = read_mosaic(scenes, Window(low, 0, high - low, 1536))
        assert (pixels == noise[:, low:high]).all()
    dataset_cache.DATASETS.close()
    low_times, high_times = times
    assert low_times < (bytes_read() - before) / path.stat().st_size < high_times


def test_a_warped_scene_is_where_gdal_puts_it(shared: Path) -> None:
    scenes = stac(shared, "S2A_29RKH_as_28N_derived", bands=("B04",), grid=GridSpec(crs="EPSG:32629", resolution=100.0))
    pixels, valid = read_mosaic(scenes, whole(scenes))
    height, width = scenes.image.shape
    with (
        rasterio.open(shared / "data/stac/S2A_29RKH_as_28N_derived/B04.tif") as file,
        WarpedVRT(
            file, crs="EPSG:32629", transform=scenes.image.affine, width=width, height=height, tolerance=1e-9
        ) as vrt,
    ):
        expected = vrt.read(1)
    # Positions are right to a thousandth of a pixel, so few pixels on a border come from the other side of it.
    assert (pixels[0] != expected).mean() < 0.002
    assert (valid != (expected != 0)).sum() < 5
    assert (valid == (pixels[0] != 0)).all()
    # The derived twin was made from the tile in zone 29, so both show the same ground.
    with rasterio.open(shared / "data/stac/S2A_29RKH_20200219_0_L2A/B04.tif") as file:
        window = rasterio.windows.from_bounds(230_000, 2_720_000, 240_000, 2_730_000, file.transform)
        ground = file.read(1, window=window).astype(float)
    row, col = round((scenes.image.affine.f - 2_730_000) / 100), round((230_000 - scenes.image.affine.c) / 100)
    assert np.corrcoef(ground.ravel(), pixels[0, row : row + 100, col : col + 100].ravel())[0, 1] > 0.9


def test_no_pixel_grid_reads_without_a_crs(shared: Path) -> None:
    path = shared / "data/labels/clouds/landsat7_img.tif"
    scenes = files(path, bands=("red", "nir"))
    pixels, valid = read_mosaic(scenes, Window(100, 100, 50, 60))
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(path) as file:
        assert (pixels == file.read([3, 4])[:, 100:150, 100:160]).all()
    assert valid.all()


def test_different_dtypes_meet_in_the_smallest_that_holds_both(tmp_path: Path) -> None:
    one = write(tmp_path / "a.tif", np.full((1, 4, 4), 200, np.uint8))
    two = write(tmp_path / "b.tif", np.full((1, 4, 4), -5, np.int16), at=(500_040, 5_000_000))
    pixels, _ = read_mosaic(files(one, two), Window(0, 0, 4, 8))
    assert pixels.dtype == np.int16
    assert np.unique(pixels).tolist() == [-5, 200]


def big(tmp_path: Path, **options: Any) -> Path:
    noise = np.random.default_rng(0).integers(1, 255, (1, 512, 512), dtype=np.uint8)
    return write(tmp_path / "big.tif", noise, tiled=True, blockxsize=128, blockysize=128, **options)


@pytest.mark.parametrize("options", [{}, {"compress": "deflate"}, {"compress": "lzw"}])
def test_a_truncated_file_fails_with_its_name_and_window(tmp_path: Path, options: dict[str, str]) -> None:
    path = big(tmp_path, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    scenes = files(path)
    read_mosaic(scenes, Window(0, 0, 64, 64))
    with pytest.raises(ReadFailed, match=r"big.tif.*rows 384-512, columns 0-512") as failed:
        read_mosaic(scenes, Window(384, 0, 128, 512))
    assert failed.value.retryable


def test_a_flipped_bit_is_an_error_not_a_pixel(tmp_path: Path) -> None:
    path = big(tmp_path, compress="deflate")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    scenes = files(path)
    with pytest.raises(ReadFailed, match=r"big.tif"):
        read_mosaic(scenes, whole(scenes))


def test_a_mended_file_is_read_after_the_failure(tmp_path: Path) -> None:
    path = big(tmp_path)
    good = path.read_bytes()
    scenes = files(path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ReadFailed):
        read_mosaic(scenes, whole(scenes))
    path.write_bytes(good)
    pixels, valid = read_mosaic(scenes, whole(scenes))
    with rasterio.open(path) as file:
        assert (pixels == file.read()).all()
    assert valid.all()


def test_a_file_that_is_not_what_was_described_is_refused(tmp_path: Path) -> None:
    path = big(tmp_path)
    scenes = files(path)
    write(path, np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(ImageryError, match=r"is \(20, 20\) pixels of uint8, not \(512, 512\)"):
        read_mosaic(scenes, whole(scenes))


def test_a_cut_transfer_is_read_again_past_gdals_cache(web: Callable[[], tuple[str, Any]], tmp_path: Path) -> None:
    address, server = web()
    data = big(tmp_path).read_bytes()
    (server.folder / "a.tif").write_bytes(data)
    scenes = files(f"{address}/a.tif")
    server.cut["a.tif"] = 20
    with pytest.raises(ReadFailed, match=r"a\.tif"):
        read_mosaic(scenes, whole(scenes))
    server.cut.clear()
    pixels, _ = read_mosaic(scenes, whole(scenes))
    with rasterio.open(tmp_path / "big.tif") as file:
        assert (pixels == file.read()).all()


@pytest.mark.parametrize("opened_before", [False, True])
def test_a_server_that_hangs_is_given_up_in_time(
    web: Callable[[], tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened_before: bool
) -> None:
    address, server = web()
    (server.folder / "a.tif").write_bytes(big(tmp_path).read_bytes())
    scenes = files(f"{address}/a.tif")
    monkeypatch.setattr(timeouts, "STALL_S", 1)
    monkeypatch.setattr(range_request, "FIRST_WAIT_S", 0.1)
    if opened_before:
        read_mosaic(scenes, Window(0, 0, 8, 8))
    server.hang = threading.Event()
    start = time.monotonic()
    try:
        with pytest.raises(ReadFailed, match=r"a\.tif") as failed:
            read_mosaic(scenes, whole(scenes))
    finally:
        server.hang.set()
    assert failed.value.retryable
    assert time.monotonic() - start < 20


def test_a_vanished_remote_file_is_not_retried(web: Callable[[], tuple[str, Any]], tmp_path: Path) -> None:
    address, server = web()
    (server.folder / "a.tif").write_bytes(big(tmp_path).read_bytes())
    scenes = files(f"{address}/a.tif")
    (server.folder / "a.tif").unlink()
    with pytest.raises(ImageryError, match="404") as failed:
        read_mosaic(scenes, whole(scenes))
    assert not failed.value.retryable


def test_few_files_stay_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_cache, "OPEN_FILES", 3)
    paths = [write(tmp_path / f"{i}.tif", np.full((1, 4, 4), i + 1, np.uint8)) for i in range(8)]
    scenes = files(*paths, mosaic="median")
    for _ in range(2):
        pixels, _ = read_mosaic(scenes, whole(scenes))
        assert (pixels == 4).all()
        held = [p for p in Path("/proc/self/fd").iterdir() if p.is_symlink() and str(tmp_path) in str(p.resolve())]
        assert len(held) <= 3


def test_gdals_settings_end_with_the_read(shared: Path) -> None:
    path = shared / "data/imagery/bahamas_rgb.tif"
    with open_raster.gdal_errors("https://example.invalid/a.tif", "testing"):
        assert rasterio.env.getenv()["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    read_mosaic(files(path), Window(0, 0, 5, 5))
    with rasterio.Env():
        assert "GDAL_DISABLE_READDIR_ON_OPEN" not in rasterio.env.getenv()
