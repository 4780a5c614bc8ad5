"""One chip as files that other tools read: the pixels and the labels, each a small GeoTIFF in its place on the ground."""

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
    path: Path, pixels: NDArray[Any], valid: NDArray[np.bool_], place: GeoBox, bands: Sequence[str]
) -> None:
    """Pixels (bands, height, width) of any dtype, with a mask band where some are not valid."""
    with (
        writing_raster(path),
        gdal_write_env(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **_profile(place, pixels), interleave="pixel") as file,
    ):
        file.write(pixels)
        file.descriptions = tuple(bands)
        if not valid.all():
            file.write_mask(valid)


def write_labels(path: Path, labels: NDArray[np.uint8], place: GeoBox, legend: Legend) -> None:
    """Numbers of classes (height, width); IGNORE_INDEX is nodata. Colours and names of the classes are in the file."""
    with (
        writing_raster(path),
        gdal_write_env(),
        rasterio.open(path, "w", **_profile(place, labels[None]), nodata=IGNORE_INDEX) as file,
    ):
        file.write_colormap(1, color_table(legend, IGNORE_INDEX))
        file.update_tags(classes=", ".join(f"{each.value} {each.name}" for each in legend))
        file.write(labels, 1)


def _profile(place: GeoBox, pixels: NDArray[Any]) -> dict[str, Any]:
    count, height, width = pixels.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": pixels.dtype,
    }
    profile |= {"compress": "deflate", "predictor": 3 if pixels.dtype.kind == "f" else 2, "transform": place.affine}
    return profile if place.crs is None else profile | {"crs": CRS.from_wkt(place.crs.to_wkt())}
