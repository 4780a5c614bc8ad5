"""Open datasets, kept for the next window: plain files, and files seen through a warp onto the image grid."""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass

from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from swath.errors import ImageryError
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.image_grid import grid_key
from swath.imagery.reading.open_raster import open_raster
from swath.imagery.remote.gdal_file import share_openers
from swath.imagery.scene import Band
from swath.storage.address import redacted

OPEN_FILES = 24
"""Datasets that one thread keeps open; the least recently used is closed first. Opening one costs ms, or requests."""

LEAST_CACHE, MOST_CACHE = 64 * 2**20, 512 * 2**20
"""Bytes of GDAL's block cache. Too little decodes blocks again and again: 16 MiB cost twice the time at 4 bands of uint16 on
4096 columns. GDAL's own default, 5 % of the machine's memory, is too much where there are many workers."""
WARP_TOLERANCE = 1e-3
"""Largest error in source pixels of a position in a warp. An exact transformation of every pixel (1e-9) takes 5 to 8 times as
long; GDAL's usual 0.125 is no faster than this and takes another source pixel for 0.3 to 1 % of all."""


@dataclass(frozen=True)
class _Key:
    href: str
    stamp: str
    image: tuple[object, ...] = ()
    resampling: str = ""
    nodata: str = ""


class _Held(OrderedDict[_Key, ExitStack]):
    """What closes each dataset. Goes with its thread, and closes them then."""

    def __del__(self) -> None:
        if self:
            share_openers()
            for each in self.values():
                each.close()


class DatasetCache(threading.local):
    """The datasets that this thread keeps open (GDAL's handles are not to be shared between threads)."""

    def __init__(self) -> None:
        self._held = _Held()
        self._datasets: dict[_Key, DatasetReader] = {}
        self._room = LEAST_CACHE

    def file(self, band: Band) -> DatasetReader:
        key = _Key(band.href, band.stamp)
        if key not in self._datasets:
            file = open_raster(band.href)
            self._hold(key, file)
            _check_promise(file, band)
        return self._use(key)

    def warped(self, band: Band, image: GeoBox, resampling: str, nodata: float | None) -> DatasetReader:
        """The file seen on the whole image grid; with `nodata` None its last band is alpha."""
        key = _Key(band.href, band.stamp, grid_key(image), resampling, repr(nodata))
        if key not in self._datasets:
            # A handle of its own: closing the plain one must not pull the file from under the VRT.
            file = open_raster(band.href)
            try:
                self._hold(key, _warp(file, band, image, resampling, nodata), file)
            except BaseException:
                file.close()
                raise
        return self._use(key)

    def room(self, need: int) -> int:
        """Bytes for GDAL's block cache: what the largest read of this thread needed so far, up to MOST_CACHE. It does not
        shrink between reads, because what one leaves there is what the next one wants."""
        self._room = min(max(self._room, need), MOST_CACHE)
        return self._room

    def drop(self, href: str) -> None:
        """Close everything of one address, so that a retry asks for it again."""
        for key in [key for key in self._held if key.href == href]:
            self._close(key)

    def close(self) -> None:
        """Close everything that this thread keeps open."""
        for key in list(self._held):
            self._close(key)
        self._room = LEAST_CACHE

    def _hold(self, key: _Key, dataset: DatasetReader, below: DatasetReader | None = None) -> None:
        stack = ExitStack()
        if below is not None:
            stack.callback(below.close)
        stack.callback(dataset.close)
        self._held[key], self._datasets[key] = stack, dataset
        while len(self._held) > OPEN_FILES:
            self._close(next(iter(self._held)))

    def _use(self, key: _Key) -> DatasetReader:
        self._held.move_to_end(key)
        return self._datasets[key]

    def _close(self, key: _Key) -> None:
        self._datasets.pop(key)
        share_openers()
        self._held.pop(key).close()


def _check_promise(file: DatasetReader, band: Band) -> None:
    """Metadata can be wrong; a map made from other pixels than it says would be wrong too."""
    promised = (tuple(band.geobox.shape), band.dtype)
    found = (file.shape, file.dtypes[band.index - 1] if band.index <= file.count else None)
    if found != promised:
        raise ImageryError(
            f"{redacted(band.href)}: is {found[0]} pixels of {found[1]}, not {promised[0]} of {promised[1]} as described",
            remedy="The file changed, or its STAC item is wrong; run again, or mend the item.",
        )


def _warp(file: DatasetReader, band: Band, image: GeoBox, resampling: str, nodata: float | None) -> DatasetReader:
    height, width = image.shape
    options: dict[str, object] = {}
    if nodata is not None:
        # Each band by itself, as in a plain read; GDAL moves a result that equals nodata by chance to the next value.
        options |= {"src_nodata": nodata, "nodata": nodata, "UNIFIED_SRC_NODATA": "NO"}
    elif not any(MaskFlags.alpha in flags for flags in file.mask_flag_enums):
        options |= {"add_alpha": True}
    left, top, right, bottom = extent_pixels(band.geobox, image)
    rows, cols = band.geobox.shape
    return WarpedVRT(
        file,
        src_crs=band.geobox.crs and CRS.from_wkt(band.geobox.crs.to_wkt()),
        crs=image.crs and CRS.from_wkt(image.crs.to_wkt()),
        transform=image.affine,
        height=height,
        width=width,
        resampling=Resampling[resampling],
        tolerance=WARP_TOLERANCE,
        # GDAL would estimate the ratio of pixel sizes for each piece anew, and its filters with it.
        XSCALE=(right - left) / cols,
        YSCALE=(bottom - top) / rows,
        **options,
    )


DATASETS = DatasetCache()
"""One for the process; each thread sees its own. It saves opening only: nothing that is read depends on it."""
atexit.register(DATASETS.close)
