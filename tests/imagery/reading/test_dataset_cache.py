"""Open datasets: few files, no block decoded twice, and the files that were described."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.reading.dataset_cache import DATASETS, CacheLimits, DatasetCache
from swath.imagery.reading.mosaic import read_mosaic
from tests.imagery.rasters import write
from tests.imagery.reading.scenes import files, whole


def big(tmp_path: Path, **options: Any) -> Path:
    noise = np.random.default_rng(0).integers(1, 255, (1, 512, 512), dtype=np.uint8)
    return write(tmp_path / "big.tif", noise, tiled=True, blockxsize=128, blockysize=128, **options)


def bytes_read() -> int:
    counted = Path("/proc/self/io").read_text().splitlines()[0]
    return int(counted.removeprefix("rchar:"))


@pytest.mark.parametrize(("most", "times"), [(512, (0.9, 1.1)), (2, (1.4, 3.0))])
def test_bands_of_rows_that_overlap_decode_no_block_twice(
    tmp_path: Path, most: int, times: tuple[float, float]
) -> None:
    noise = np.random.default_rng(0).integers(1, 2**16, (4, 1536, 1536), dtype=np.uint16)
    path = write(
        tmp_path / "a.tif", noise, tiled=True, blockxsize=256, blockysize=256, compress="deflate", interleave="pixel"
    )
    DATASETS.close()
    datasets = DatasetCache(CacheLimits(min_block_bytes=2**20, max_block_bytes=most * 2**20))
    scenes = files(path)
    read_mosaic(scenes, Window(0, 0, 1, 1), datasets=datasets)
    before = bytes_read()
    for row in range(0, 1536, 256):
        low, high = max(0, row - 48), min(1536, row + 256 + 48)
        pixels, _ = read_mosaic(scenes, Window(low, 0, high - low, 1536), datasets=datasets)
        assert (pixels == noise[:, low:high]).all()
    datasets.close()
    low_times, high_times = times
    assert low_times < (bytes_read() - before) / path.stat().st_size < high_times


def test_a_file_that_is_not_what_was_described_is_refused(tmp_path: Path) -> None:
    path = big(tmp_path)
    scenes = files(path)
    write(path, np.zeros((1, 20, 20), np.uint8))
    with pytest.raises(ImageryError, match=r"is \(20, 20\) pixels of uint8, not \(512, 512\)"):
        read_mosaic(scenes, whole(scenes))


def test_few_files_stay_open(tmp_path: Path) -> None:
    datasets = DatasetCache(CacheLimits(open_files=3))
    paths = [write(tmp_path / f"{i}.tif", np.full((1, 4, 4), i + 1, np.uint8)) for i in range(8)]
    scenes = files(*paths, mosaic="median")
    for _ in range(2):
        pixels, _ = read_mosaic(scenes, whole(scenes), datasets=datasets)
        assert (pixels == 4).all()
        held = [p for p in Path("/proc/self/fd").iterdir() if p.is_symlink() and str(tmp_path) in str(p.resolve())]
        assert len(held) <= 3


@pytest.mark.parametrize("wrong", ["half a pixel", "crs"])
def test_a_file_on_another_grid_than_described_is_refused(tmp_path: Path, wrong: str) -> None:
    scenes = files(write(tmp_path / "a.tif", np.ones((1, 4, 6), np.uint8)))
    (band,) = scenes.scenes[0].bands
    box = band.geobox
    described = (
        GeoBox(box.shape, box.affine @ Affine.translation(0.5, 0.5), box.crs)
        if wrong == "half a pixel"
        else GeoBox(box.shape, box.affine, "EPSG:32632")
    )
    with pytest.raises(ImageryError, match=r"its transform is .* as described\n  .*imagery\.compare: all"):
        DatasetCache().file(replace(band, geobox=described))
    assert DatasetCache().file(band).shape == (4, 6)
