"""GDAL while a map is written and read back: its settings, its errors, and how a map's file is opened."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError  # raised by rasterio's writers; it has no public name
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from swath.imagery.reading.open_raster import gdal_errors, open_raster
from swath.storage.address import is_remote
from swath.storage.durable_write import writing

_CACHE_MB = 128


@contextmanager
def gdal_write_env() -> Iterator[None]:
    """GDAL's settings for writing: a small block cache and no threads, because a threaded writer does not report a full disk."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB, GDAL_NUM_THREADS=1):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map of imagery without a CRS has none either
        yield


@contextmanager
def writing_raster(path: Path) -> Iterator[None]:
    """As swath.storage.durable_write.writing, for a body that uses rasterio."""
    with writing(path, RasterioError, CPLE_BaseError):
        yield


@contextmanager
def open_map(source: Path | str) -> Iterator[DatasetReader]:
    """Open a map's file, or the index of its sheets: a path, or the URL to which it was uploaded."""
    if is_remote(str(source)):
        with gdal_errors(str(source), "looking at what was sent"), open_raster(str(source)) as file:
            yield file
    else:
        with rasterio.open(source) as file:
            yield file
