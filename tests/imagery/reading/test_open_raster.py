"""GDAL's settings for reading."""

from __future__ import annotations

from pathlib import Path

import rasterio

from swath.geo import Window
from swath.imagery.reading import open_raster
from swath.imagery.reading.mosaic import read_mosaic
from tests.imagery.reading.scenes import files


def test_gdals_settings_end_with_the_read(shared: Path) -> None:
    path = shared / "data/imagery/bahamas_rgb.tif"
    with open_raster.gdal_errors("https://example.invalid/a.tif", "testing"):
        assert rasterio.env.getenv()["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
    read_mosaic(files(path), Window(0, 0, 5, 5))
    with rasterio.Env():
        assert "GDAL_DISABLE_READDIR_ON_OPEN" not in rasterio.env.getenv()
