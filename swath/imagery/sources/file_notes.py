"""Notes on a raster file: a nodata value of the spec that changes nothing, a missing geotransform, a colour table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rasterio.enums import ColorInterp

from swath.imagery.sources.categorical import is_categorical_name
from swath.storage.address import redacted

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from swath.imagery.scene import Band


def file_notes(file: DatasetReader, href: str, bands: Sequence[Band], nodata: float | None) -> list[str]:
    """What the map's reader must know of an open file. `nodata` is `imagery.nodata`."""
    return [
        *_place(file, href),
        *_indices(file, href, bands),
        *(_unused_nodata(file, href, bands, nodata) if nodata is not None else []),
    ]


def _place(file: DatasetReader, href: str) -> list[str]:
    if file.crs is None or not file.transform.is_identity:
        return []
    return [
        f"{redacted(href)}: has a coordinate reference system and no geotransform, so its first pixel is taken to lie at 0, 0 and its "
        "pixels to have the size 1. Georeference it (gdal_translate -a_ullr, or a world file)"
    ]


def _indices(file: DatasetReader, href: str, bands: Sequence[Band]) -> list[str]:
    measured = [band for band in bands if not is_categorical_name(band.name)]
    colours = file.colorinterp  # GDAL goes through all bands for it
    if not any(colours[band.index - 1] is ColorInterp.palette for band in measured):
        return []
    return [
        f"{redacted(href)}: has a colour table, so its numbers are classes or places in that table, not brightness. For colours: "
        "gdal_translate -expand rgb"
    ]


def _unused_nodata(file: DatasetReader, href: str, bands: Sequence[Band], nodata: float) -> list[str]:
    values = file.nodatavals  # GDAL goes through all bands for it
    for band in bands:
        declared = values[band.index - 1]
        if band.categorical:
            continue
        if declared is not None and declared != nodata and not (declared != declared and nodata != nodata):
            return [
                f"{redacted(href)}: declares the nodata value {declared:g}; imagery.nodata {nodata:g} is not used for it"
            ]
        if declared is None and not _holds(np.dtype(band.dtype), nodata):
            return [f"{redacted(href)}: has pixels of {band.dtype}, none of which can be imagery.nodata {nodata:g}"]
    return []


def _holds(dtype: np.dtype[np.generic], value: float) -> bool:
    if dtype.kind not in "iu":
        return True
    limits = np.iinfo(str(dtype))
    return float(value).is_integer() and limits.min <= value <= limits.max
