"""GDAL's settings for reading."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import rasterio

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading import open_raster
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.files import find_scenes
from swath.spec.fields.imagery import FilesImagery
from tests.imagery.reading.scenes import files


def test_gdals_settings_end_with_the_read(shared: Path) -> None:
    path = shared / "data/imagery/bahamas_rgb.tif"
    with open_raster.gdal_errors("https://example.invalid/a.tif", "testing"):
        assert rasterio.env.getenv()["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    read_mosaic(files(path), Window(0, 0, 5, 5))
    with rasterio.Env():
        assert "GDAL_DISABLE_READDIR_ON_OPEN" not in rasterio.env.getenv()


def test_a_pipe_a_device_and_a_folder_are_refused_without_being_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, what in (
        (tmp_path / "fifo", "a pipe"),
        (Path("/dev/zero"), "a pipe, a socket or a device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(ImageryError, match=f"{path}: {what}"):
            find_scenes(FilesImagery(paths=(str(path),)), None, None)
        with pytest.raises(ImageryError, match=f"{path}: {what}"), open_raster.gdal_errors(str(path), "testing"):
            open_raster.open_raster(str(path))
