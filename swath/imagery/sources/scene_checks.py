"""Checks of scenes before their pixels are read: dtype, CRS, and whether files on this machine are whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from swath.errors import ImageryError
from swath.imagery.reading.open_raster import gdal_errors, open_raster
from swath.imagery.scene import file_of
from swath.spec.locations import is_remote

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

    from swath.imagery.scene import Band, Scenes

MAX_BLOCKS = 20_000
"""Blocks of a band whose place in the file is looked up; of more, every second, third ... and the last."""


def check_scenes(scenes: Scenes) -> None:
    """Raise ImageryError for pixels that no pipeline can use, and for a CRS without a place on the Earth."""
    for scene in scenes.scenes:
        for band in scene.bands:
            if band.dtype.startswith("complex"):  # also complex_int16, which NumPy does not have
                raise ImageryError(
                    f"{band.href}: band {band.name} has complex pixels ({band.dtype}), which no model or map takes",
                    remedy="Write their magnitude or phase as a raster of its own first, such as with gdal_calc.py.",
                )
    crs = scenes.image.crs
    if crs is not None and not (crs.projected or crs.geographic):
        raise ImageryError(
            f"{file_of(scenes.scenes[0])}: its CRS ({crs.proj.name}, {crs.proj.type_name}) has no place on the Earth",
            remedy="Georeference the file with gdalwarp, or gdal_translate -a_srs with the CRS that its coordinates are in.",
        )


def check_files(grids: Iterable[Scenes]) -> None:
    """Raise ImageryError for a file of this machine that was cut. Reads headers, and one pixel of files that are no TIFF."""
    files: dict[str, list[Band]] = {}
    for scenes in grids:
        for scene in scenes.scenes:
            for band in (*scene.bands, *((scene.quality,) if scene.quality is not None else ())):
                if not is_remote(band.href):
                    files.setdefault(band.href, []).append(band)
    for href, bands in files.items():
        with gdal_errors(href, "looking for its last pixel"), open_raster(href) as file:
            numbers = sorted({band.index for band in bands})
            size = _size(file)
            if file.driver != "GTiff" or size is None:
                file.read(numbers, window=((file.height - 1, file.height), (file.width - 1, file.width)))
                continue
            end = max((end for number in numbers for end in _block_ends(file, number)), default=0)
        if end > size:
            raise ImageryError(
                f"{href}: the file was cut: it has {size:,} bytes, and its pixels go on to byte {end:,}",
                remedy="Fetch it again.",
            )


def _size(file: DatasetReader) -> int | None:
    """Bytes of the file that was opened; None when it is not one file."""
    from pathlib import Path

    try:
        return Path(file.files[0]).stat().st_size
    except (IndexError, OSError):
        return None


def _block_ends(file: DatasetReader, number: int) -> Iterator[int]:
    """The byte after each block of a band."""
    height, width = file.block_shapes[number - 1]
    rows, columns = math.ceil(file.height / height), math.ceil(file.width / width)
    count = rows * columns
    places = [*range(0, count, math.ceil(count / MAX_BLOCKS)), count - 1]
    for row, column in (divmod(place, columns) for place in islice(places, MAX_BLOCKS + 1)):
        offset = file.get_tag_item(f"BLOCK_OFFSET_{column}_{row}", "TIFF", bidx=number)
        size = file.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=number)
        if offset is not None and size is not None:  # else a block of a sparse file
            yield int(offset) + int(size)
