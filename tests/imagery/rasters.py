"""Small rasters for the imagery tests, written to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from numpy.typing import NDArray


def write(
    path: Path,
    pixels: NDArray[Any],
    *,
    at: tuple[float, float] = (500_000, 5_000_000),
    size: float = 10,
    **options: Any,
) -> Path:
    """A GeoTIFF of `pixels` (bands, height, width) with its upper left corner `at` (x, y). `names` describe the bands."""
    names = options.pop("names", None)
    mask = options.pop("mask", None)
    profile = {
        "driver": "GTiff",
        "crs": "EPSG:32633",
        "transform": Affine(size, 0, at[0], 0, -size, at[1]),
        "count": pixels.shape[0],
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
    } | options
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as file:
        file.write(pixels)
        if names:
            file.descriptions = names
        if mask is not None:
            file.write_mask(mask)
    return path
