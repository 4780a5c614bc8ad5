"""Windows of one file: equal to plain rasterio on the source grid, whatever the window; an unreadable file is an error."""

from __future__ import annotations

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
from swath.geo import Window
from swath.imagery.geometry.image_grid import output_window, pixel_offset
from swath.imagery.reading.dataset_cache import DatasetCache
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.remote.request_policy import RequestPolicy
from swath.imagery.sources.find import find
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.rasters import write
from tests.imagery.reading.scenes import files, in_tiles, stac, whole


def big(tmp_path: Path, **options: Any) -> Path:
    noise = np.random.default_rng(0).integers(1, 255, (1, 512, 512), dtype=np.uint8)
    return write(tmp_path / "big.tif", noise, tiled=True, blockxsize=128, blockysize=128, **options)


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
    web: Callable[[], tuple[str, Any]], tmp_path: Path, opened_before: bool
) -> None:
    address, server = web()
    (server.folder / "a.tif").write_bytes(big(tmp_path).read_bytes())
    scenes = files(f"{address}/a.tif")
    datasets = DatasetCache(policy=RequestPolicy(stall_s=1, first_wait_s=0.1))
    if opened_before:
        read_mosaic(scenes, Window(0, 0, 8, 8), datasets=datasets)
    server.hang = threading.Event()
    start = time.monotonic()
    try:
        with pytest.raises(ReadFailed, match=r"a\.tif") as failed:
            read_mosaic(scenes, whole(scenes), datasets=datasets)
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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1.7976931348623157e308])
@pytest.mark.parametrize("resampled", [False, True])
def test_what_is_no_finite_number_of_32_bits_is_no_data(tmp_path: Path, bad: float, resampled: bool) -> None:
    numbers = np.full((2, 40, 40), 5.0)
    numbers[1, 20, 10] = bad
    path = write(tmp_path / "a.tif", numbers)
    pixels, valid = read_mosaic(files(path, grid=GridSpec(resolution=20) if resampled else None), Window(0, 0, 20, 20))
    expected = np.ones((20, 20), bool)
    if resampled:  # nearest neighbour: the centre of pixel (10, 5) is a corner of the bad one
        assert (~valid).sum() <= 1
    else:
        pixels, valid = read_mosaic(files(path), Window(0, 0, 40, 40))
        expected = np.ones((40, 40), bool)
        expected[20, 10] = False
        assert (valid == expected).all()
    assert (pixels[:, valid] == 5).all()
    assert (pixels[:, ~valid] == 0).all()


def test_infinity_does_not_spread_as_a_number_when_it_is_interpolated(tmp_path: Path) -> None:
    numbers = np.full((1, 40, 40), 5.0, np.float32)
    numbers[0, 20, 10] = np.inf
    path = write(tmp_path / "a.tif", numbers)
    for how in ("bilinear", "cubic", "average", "mode"):
        scenes = find(FilesImagery(paths=(str(path),), resampling=how), grid=GridSpec(crs="EPSG:32632", resolution=11))
        pixels, valid = read_mosaic(scenes, output_window(scenes.image, None))
        assert np.isfinite(pixels).all()
        assert 1000 < valid.sum() < valid.size
        assert pixels[:, valid] == pytest.approx(5, abs=1e-4)


def test_a_physical_value_that_float32_does_not_hold_is_no_data(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.array([[[1.0, 1e30, 2.0]]]))
    scenes = find(FilesImagery(paths=(str(path),), scale=1e10, offset=0))
    pixels, valid = read_mosaic(scenes, Window(0, 0, 1, 3), reflectance=True)
    assert valid.tolist() == [[True, False, True]]
    assert pixels[0, 0].tolist() == [np.float32(1e10), 0, np.float32(2e10)]


def test_where_a_catalogue_states_another_nodata_than_the_file_both_are_none(tmp_path: Path) -> None:
    pixels = np.array([[[0, 5, 7], [5, 0, 9]]], np.uint8)
    scenes = files(write(tmp_path / "a.tif", pixels, nodata=5))
    (scene,) = scenes.scenes
    stated = replace(scenes, scenes=(replace(scene, bands=(replace(scene.bands[0], nodata=0.0),)),))
    _, valid = read_mosaic(stated, whole(stated))
    assert valid.tolist() == [[False, False, True], [False, False, True]]
