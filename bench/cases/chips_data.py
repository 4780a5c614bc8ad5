"""A label for each pixel of the benchmark's imagery: its brightest band, as a COG beside it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import rasterio
from pixels_data import BANDS, image
from rasterio.shutil import copy


def labels(folder: Path, size: int) -> Path:
    """The labels of `image(folder, size)`, made when they are not there yet."""
    path = folder / f"labels-{size}.tif"
    if not path.exists():
        plain, made = (folder / f".{os.getpid()}-{kind}-labels-{size}.tif" for kind in ("plain", "made"))
        options = {"count": 1, "dtype": "uint8", "tiled": True, "blockxsize": 512, "blockysize": 512, "nodata": 255}
        try:
            with rasterio.open(image(folder, size)) as file, rasterio.open(plain, "w", **file.profile | options) as out:
                for _, window in file.block_windows(1):
                    pixels = file.read(window=window).astype(np.int32)
                    out.write(pixels.argmax(axis=0).astype(np.uint8) % len(BANDS), 1, window=window)
            copy(plain, made, driver="COG", compress="DEFLATE", predictor="2", level=6, blocksize=512)
            made.replace(path)
        finally:
            plain.unlink(missing_ok=True)
            made.unlink(missing_ok=True)
    return path
