"""Open datasets, cached per thread: plain files, and files warped onto the image grid."""

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
from swath.imagery.geometry.same_grid import same_grid
from swath.imagery.reading.open_raster import open_raster
from swath.imagery.remote.gdal_file import share_openers
from swath.imagery.remote.request_policy import POLICY, RequestPolicy
from swath.imagery.scene import Band
from swath.storage.address import redacted

WARP_TOLERANCE = 1e-3
"""Largest error in source pixels of a position in a warp. An exact transformation of every pixel (1e-9) takes 5 to 8 times as
long; GDAL's usual 0.125 is no faster than this and takes another source pixel for 0.3 to 1 % of all."""


@dataclass(frozen=True)
class CacheLimits:
    """How much one thread keeps for its next window."""

    open_files: int = 24
    """Datasets; the least recently used is closed first. Opening one takes milliseconds, or requests."""
    min_block_bytes: int = 64 * 2**20
    """Of GDAL's block cache. Too little decodes blocks again and again: 16 MiB took twice the time at 4 bands of uint16 on 4096
    columns."""
    max_block_bytes: int = 512 * 2**20
    """Of GDAL's block cache. GDAL's own default, 5 % of the machine's memory, is too much where there are many workers."""


LIMITS = CacheLimits()


@dataclass(frozen=True)
class _Key:
    href: str
    stamp: str
    image: tuple[object, ...] = ()
    resampling: str = ""
    nodata: str = ""


class _Closers(OrderedDict[_Key, ExitStack]):
    """What closes each dataset, the least recently used first. Ends with its thread, and closes them all then."""

    def __del__(self) -> None:
        if self:
            share_openers()
            for each in self.values():
                each.close()


class DatasetCache(threading.local):
    """The datasets that this thread keeps open: GDAL's handles must not be shared between threads."""

    def __init__(self, limits: CacheLimits = CacheLimits(), policy: RequestPolicy = POLICY) -> None:
        self._limits, self._policy = limits, policy
        self._closers = _Closers()
        self._datasets: dict[_Key, DatasetReader] = {}
        self._block_bytes = limits.min_block_bytes

    def file(self, band: Band) -> DatasetReader:
        """The file of a band. Raises what open_raster raises, ImageryError when it is not as the band describes it."""
        key = _Key(band.href, band.stamp)
        if key not in self._datasets:
            file = open_raster(band.href, self._policy)
            self._add(key, file)
            _check_description(file, band)
        return self._use(key)

    def warped(self, band: Band, image: GeoBox, resampling: str, nodata: float | None) -> DatasetReader:
        """The file warped onto the whole image grid; with `nodata` None its last band is alpha."""
        key = _Key(band.href, band.stamp, grid_key(image), resampling, repr(nodata))
        if key not in self._datasets:
            # A handle of its own: closing the plain dataset must not close the file of the VRT.
            file = open_raster(band.href, self._policy)
            try:
                self._add(key, _warp(file, band, image, resampling, nodata), file)
            except BaseException:
                file.close()
                raise
        return self._use(key)

    def block_bytes(self, need: int) -> int:
        """Size of GDAL's block cache: the most that a read of this thread needed so far, within the limits. It does not shrink
        between reads, because the blocks of one read are needed by the next."""
        self._block_bytes = min(max(self._block_bytes, need), self._limits.max_block_bytes)
        return self._block_bytes

    def drop(self, href: str) -> None:
        """Close all datasets of one URL, so that a retry opens it again."""
        for key in [key for key in self._closers if key.href == href]:
            self._close(key)

    def close(self) -> None:
        """Close all datasets of this thread."""
        for key in list(self._closers):
            self._close(key)
        self._block_bytes = self._limits.min_block_bytes

    def _add(self, key: _Key, dataset: DatasetReader, source: DatasetReader | None = None) -> None:
        closers = ExitStack()
        if source is not None:
            closers.callback(source.close)
        closers.callback(dataset.close)
        self._closers[key], self._datasets[key] = closers, dataset
        while len(self._closers) > self._limits.open_files:
            self._close(next(iter(self._closers)))

    def _use(self, key: _Key) -> DatasetReader:
        self._closers.move_to_end(key)
        return self._datasets[key]

    def _close(self, key: _Key) -> None:
        self._datasets.pop(key)
        share_openers()
        self._closers.pop(key).close()


_DESCRIBED_WRONGLY = (
    "The file changed: run again. Or its STAC item is wrong: imagery.compare: all takes grid and dtype from the files."
)


def _check_description(file: DatasetReader, band: Band) -> None:
    """Metadata can be wrong; a map made from other pixels than it says would be wrong too."""
    described = (tuple(band.geobox.shape), band.dtype)
    found = (file.shape, file.dtypes[band.index - 1] if band.index <= file.count else None)
    if found != described:
        raise ImageryError(
            f"{redacted(band.href)}: is {found[0]} pixels of {found[1]}, not {described[0]} of {described[1]} as described",
            remedy=_DESCRIBED_WRONGLY,
        )
    if file.crs is not None and band.geobox.crs is not None:
        own = GeoBox(file.shape, file.transform, file.crs.to_wkt())
        if not same_grid(band.geobox, own):
            raise ImageryError(
                f"{redacted(band.href)}: its transform is {tuple(own.affine)[:6]} in {_crs_text(own)}, not "
                f"{tuple(band.geobox.affine)[:6]} in {_crs_text(band.geobox)} as described",
                remedy=_DESCRIBED_WRONGLY,
            )


def _crs_text(grid: GeoBox) -> str:
    code = grid.crs.to_epsg() if grid.crs is not None else None
    return f"EPSG:{code}" if code is not None else "a CRS without an EPSG code"


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
"""The default cache; each thread has its own datasets in it. It saves opening only: no pixel depends on it."""
atexit.register(DATASETS.close)
