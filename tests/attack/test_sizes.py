"""Rasters of one row or column with as many pixels as GDAL allows: planned in seconds, as any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio
from affine import Affine

from tests.process import ROOT, Pipe


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1 << 20, 1), (1, 1 << 20), ((1 << 31) - 1, 1), (1, (1 << 31) - 1)])
def test_a_raster_of_one_row_or_column_is_planned_in_seconds(
    pipe: Pipe, tmp_path: Path, shape: tuple[int, int]
) -> None:
    height, width = shape
    profile = {
        "driver": "GTiff",
        "count": 4,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": Affine(10, 0, 5e5, 0, -10, 5e6),
    }
    tiles = {
        "tiled": True,
        "blockxsize": 16384,
        "blockysize": 16384,
        "compress": "deflate",
        "SPARSE_OK": True,
        "BIGTIFF": "YES",
    }
    with rasterio.open(tmp_path / "long.tif", "w", height=height, width=width, **profile, **tiles) as file:
        file.descriptions = ("blue", "green", "red", "nir")
    imagery = {"source": "files", "paths": [str(tmp_path / "long.tif")]}
    spec = pipe.spec(imagery=imagery, model=str(ROOT / "models/water.pt2"))
    done = pipe("plan", spec, "--json", timeout=30)
    assert json.loads(done.out)["megapixels"] == pytest.approx(height * width / 1e6, abs=0.001)
    text = pipe("plan", spec, timeout=30).out
    assert len(text) < 5000
