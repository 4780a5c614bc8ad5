"""Blocks of imagery have the pixels that predict gives a model, whatever the window, the halo and the units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.image_block import find_scenes, read
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.scene import Scenes
from swath.spec.fields.grid import GridSpec
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.rasters import write

BANDS = ("red", "nir")


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    """Two files beside each other that overlap, with holes, and a scale."""
    random = np.random.default_rng(1)
    for number in range(2):
        pixels = random.integers(1, 3000, (2, 90, 70)).astype(np.uint16)
        pixels[:, 10:20, 5:30] = 0
        write(tmp_path / f"{number}.tif", pixels, at=(500_000 + 400 * number, 5_000_000), names=BANDS, nodata=0)
    return find_scenes(FilesImagery(paths=(str(tmp_path / "*.tif"),), scale=0.0001, offset=-0.1), BANDS)


def test_a_block_of_the_whole_grid_is_what_the_files_hold(scenes: Scenes, tmp_path: Path) -> None:
    block = read(scenes)
    expected = np.zeros((2, 90, 110), np.uint16)
    for name, left in (("1.tif", 40), ("0.tif", 0)):  # the first is on top
        with rasterio.open(tmp_path / name) as file:
            pixels = file.read()
        expected[:, :, left : left + 70][:, (pixels != 0).any(axis=0)] = pixels[:, (pixels != 0).any(axis=0)]
    assert block.pixels.dtype == np.uint16
    assert np.array_equal(block.pixels, expected)
    assert np.array_equal(block.valid, (expected != 0).any(axis=0))
    assert block.geobox == scenes.image
    physical = read(scenes, units="reflectance")
    truth = np.where(block.valid, (expected * 0.0001 - 0.1).astype(np.float32), 0)
    assert np.array_equal(physical.pixels, truth)
    assert np.array_equal(physical.band("nir"), truth[1])
    with pytest.raises(ImageryError, match="band blue was not read: there are red, nir"):
        physical.band("blue")


def test_windows_and_halos_are_cut_from_the_same_pixels(scenes: Scenes) -> None:
    whole = read(scenes)
    for window in (Window(0, 0, 90, 110), Window(15, 33, 20, 30), Window(80, 100, 10, 10)):
        for halo in (0, 7, 200):
            block = read(scenes, window, halo=halo)
            assert block.inner == window
            assert np.array_equal(block.pixels, whole.pixels[:, *block.window.roi])
            assert np.array_equal(block.cut(block.pixels), whole.pixels[:, *window.roi])
            assert np.array_equal(block.cut(block.valid), whole.valid[window.roi])
            assert block.geobox == scenes.image[block.window.roi]
    for wrong in (Window(0, 0, 91, 1), Window(-1, 0, 2, 2)):
        with pytest.raises(ImageryError, match="is not within the grid of 90 x 110 pixels"):
            read(scenes, wrong)


def test_a_block_on_another_grid_has_the_pixels_of_predict_and_of_gdal(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(1, 3000, (1, 90, 90)).astype(np.uint16)
    path = write(tmp_path / "one.tif", pixels, names=("red",))
    grid = GridSpec(crs="EPSG:3857", resolution=25)
    scenes = find_scenes(FilesImagery(paths=(str(path),)), ("red",), grid=grid)
    block = read(scenes)
    again, valid = read_mosaic(scenes, Window(0, 0, *scenes.image.shape))
    assert np.array_equal(block.pixels, again)
    assert np.array_equal(block.valid, valid)
    height, width = scenes.image.shape
    with (
        rasterio.open(path) as file,
        WarpedVRT(
            file, crs="EPSG:3857", transform=scenes.image.affine, width=width, height=height,
            resampling=Resampling.nearest, add_alpha=True,
        ) as warped,
    ):  # fmt: skip
        expected = warped.read(1)
    assert block.valid.mean() > 0.5
    assert (
        block.pixels[0][block.valid] == expected[block.valid]
    ).mean() > 0.99  # GDAL's own error is an eighth of a pixel


def test_an_xarray_has_the_same_pixels_with_coordinates(scenes: Scenes) -> None:
    pytest.importorskip("xarray")
    block = read(scenes, Window(5, 3, 30, 40))
    array = block.to_xarray()
    assert array.dims == ("band", "y", "x")
    assert array.band.values.tolist() == ["red", "nir"]
    assert np.array_equal(np.nan_to_num(array.values), block.pixels)
    assert np.array_equal(np.isnan(array.values).any(axis=0), ~block.valid)
    left, top = block.geobox.affine @ (0.5, 0.5)
    assert (float(array.x[0]), float(array.y[0])) == (left, top)
    assert array.odc.geobox == block.geobox
