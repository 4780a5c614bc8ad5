"""Of two files that differ it is told where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio

from tests.identical import differences


def raster(path: Path, pixels: np.ndarray, **tags: str) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=4,
        height=3,
        count=1,
        dtype="uint8",
        transform=rasterio.Affine(1, 0, 5, 0, -1, 9),
    ) as file:
        file.write(pixels[None])
        file.update_tags(**tags)
    return path


def test_of_two_files_that_differ_it_is_told_where(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    other = pixels.copy()
    other[1, 2] = 77
    one = raster(tmp_path / "one.tif", pixels, MADE="once")
    assert differences(one, raster(tmp_path / "same.tif", pixels, MADE="once")) == ""
    told = differences(one, raster(tmp_path / "pixel.tif", other, MADE="once"))
    assert "1 pixels differ; in rows 1 to 1 and columns 2 to 2, the first (1, 2): [6] and [77]" in told
    told = differences(one, raster(tmp_path / "tag.tif", pixels, MADE="twice"))
    assert "0 pixels differ" in told
    assert "'MADE': 'once'" in told
    assert "'MADE': 'twice'" in told
    (tmp_path / "a.txt").write_text("abcd")
    (tmp_path / "b.txt").write_text("abxd.")
    told = differences(tmp_path / "a.txt", tmp_path / "b.txt")
    assert told == "a.txt: 4 and 5 bytes; 1 of the first 4 differ, from 2 to 2"
