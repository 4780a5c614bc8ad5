"""Write a chip as two georeferenced GeoTIFFs: its pixels with a mask, and its labels with colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS

from swath.maps.gdal import gdal_write_env, writing_raster
from swath.maps.legend import Legend, color_table
from swath.spec.fields.labels import IGNORE_INDEX

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


def write_pixels(
    path: Path, pixels: NDArray[Any], valid: NDArray[np.bool_], grid: GeoBox, bands: Sequence[str]
) -> None:
    """Write pixels (bands, height, width) of any dtype, with a mask band where some are not `valid` (height, width)."""
    with (
        writing_raster(path),
        gdal_write_env(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **_profile(grid, pixels), interleave="pixel") as file,
    ):
        file.write(pixels)
        file.descriptions = tuple(bands)
        if not valid.all():
            file.write_mask(valid)


def write_labels(path: Path, labels: NDArray[np.uint8], grid: GeoBox, legend: Legend) -> None:
    """Write class numbers (height, width); IGNORE_INDEX is nodata. The file has the colours and names of the classes."""
    with (
        writing_raster(path),
        gdal_write_env(),
        rasterio.open(path, "w", **_profile(grid, labels[None]), nodata=IGNORE_INDEX) as file,
    ):
        file.write_colormap(1, color_table(legend, IGNORE_INDEX))
        file.update_tags(classes=", ".join(f"{each.value} {each.name}" for each in legend))
        file.write(labels, 1)


def _profile(grid: GeoBox, pixels: NDArray[Any]) -> dict[str, Any]:
    count, height, width = pixels.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": pixels.dtype,
    }
    profile |= {"compress": "deflate", "predictor": 3 if pixels.dtype.kind == "f" else 2, "transform": grid.affine}
    return profile if grid.crs is None else profile | {"crs": CRS.from_wkt(grid.crs.to_wkt())}
