"""GDAL's errors while a raster is written say which file it was; maps are opened from paths and URLs."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pytest
import rasterio
from rasterio.errors import RasterioIOError

from swath.errors import TaskFailed
from swath.maps.gdal import gdal_write_env, open_map, writing_raster
from tests.imagery.rasters import write


def test_what_rasterio_raises_becomes_an_error_with_the_path_and_the_free_space(tmp_path: Path) -> None:
    path = tmp_path / "no" / "m.tif"
    with (
        pytest.raises(TaskFailed, match=r"no/m\.tif could not be written: .*bytes are free in") as failed,
        writing_raster(path),
    ):
        rasterio.open(path, "w", driver="GTiff", width=1, height=1, count=1, dtype="uint8", crs="EPSG:32633")
    assert isinstance(failed.value.__cause__, RasterioIOError)


def test_the_settings_for_writing_end_with_the_body() -> None:
    with gdal_write_env():
        assert rasterio.env.getenv()["GDAL_NUM_THREADS"] == 1
    with rasterio.Env():
        assert "GDAL_CACHEMAX" not in rasterio.env.getenv()


def test_a_map_is_opened_from_its_path_and_from_the_url_where_it_was_sent(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    path = write(tmp_path / "m.tif", pixels)
    memory = fsspec.filesystem("memory")
    memory.pipe("/maps/m.tif", path.read_bytes())
    try:
        for source in (path, "memory://maps/m.tif"):
            with open_map(source) as file:
                assert (file.read() == pixels).all()
    finally:
        memory.rm("/maps", recursive=True)
