"""Pixels of one file on a window of the image grid: plainly where the two share their pixels, through a warp elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.env import setenv
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from swath.errors import FailedRead, ReadFailed
from swath.geo import Window
from swath.imagery.geometry.footprint import extent_pixels
from swath.imagery.geometry.image_grid import crs_pixel_area, grid_key, pixel_offset
from swath.imagery.reading.dataset_cache import DATASETS
from swath.imagery.reading.open_raster import gdal_errors
from swath.imagery.scene import Band
from swath.storage.address import redacted

Pixels = NDArray[np.generic]
Valid = NDArray[np.bool_]

_STRIP = 128
"""Warped pixels are asked for in strips of so many rows: the height of a WarpedVRT's blocks. GDAL then makes whole blocks of
the image grid and keeps them. Of a taller window it would make the window itself, and its interpolation depends on the window in
the last bits (so rounded ties differ: 2613 of 1.2 million pixels in one test)."""
_ROWS_KEPT = 512
"""Callers read a region in bands whose halo rows overlap; so many source rows are kept of a file with low blocks."""


def read_file(
    bands: list[Band], image: GeoBox, window: Window, resampling: str, *, beside: int = 1
) -> tuple[Pixels, Valid]:
    """Bands of one file with one nodata value: pixels (bands, height, width) of their common dtype, valid (height, width).
    Invalid pixels hold what the file has there.

    `beside` says how many files the caller reads for this window: as much is kept of each that the next window below, which
    shares some rows with this one, decodes no block again. Raises ReadFailed and ImageryError.
    """
    place = FailedRead(redacted(bands[0].href), (window.row, window.stop_row), (window.col, window.stop_col))
    where = "reading rows {}-{}, columns {}-{} of the image, {} pixels".format(
        *place.rows, *place.columns, place.pixels
    )
    extent, native = _place(_Grid(bands[0].geobox), _Grid(image))
    part = extent.intersection(window)
    if part is not None and not native:
        part = part.intersection(Window(0, 0, *image.shape))
    if part is None:
        return _nothing(bands, window)
    try:
        with gdal_errors(bands[0].href, where):
            if not native:
                numbers, known = _warped(bands, image, part, resampling, beside)
            else:
                inner = Window(part.row - extent.row, part.col - extent.col, part.height, part.width)
                file = DATASETS.file(bands[0])
                _make_room(beside * _row_bytes(file, bands, inner.width))
                numbers, known = _checked(file, bands, inner)
    except ReadFailed as error:
        DATASETS.drop(bands[0].href)
        error.failed = place
        raise
    if part == window:
        return numbers, known
    pixels, valid = _nothing(bands, window)
    here = part.within(window)
    pixels[:, *here], valid[here] = numbers, known
    return pixels, valid


def _nothing(bands: list[Band], window: Window) -> tuple[Pixels, Valid]:
    dtype = np.result_type(*{band.dtype for band in bands})
    return np.zeros((len(bands), *window.shape), dtype), np.zeros(window.shape, bool)


def _make_room(need: int) -> None:
    """GDAL's block cache, which is the process's, large enough for `need`, until the end of the `with gdal_errors`."""
    setenv(GDAL_CACHEMAX=DATASETS.room(need))


def _row_bytes(file: DatasetReader, bands: list[Band], width: int) -> int:
    """Bytes of three rows of a file's blocks, `width` pixels wide: what a window and the next one below have in common."""
    index = bands[0].index - 1
    rows, cols = file.block_shapes[index]
    across = min(-(-width // cols) + 1, -(-file.width // cols)) * cols
    layers = file.count if file.interleaving is not None and file.interleaving.name == "pixel" else len(bands)
    return int(max(3 * rows, _ROWS_KEPT) * across * layers * np.dtype(file.dtypes[index]).itemsize)


def _warped(bands: list[Band], image: GeoBox, window: Window, resampling: str, beside: int) -> tuple[Pixels, Valid]:
    file = DATASETS.file(bands[0])
    nodata = _nodata(file, bands[0])
    warp = DATASETS.warped(bands[0], image, resampling, nodata)
    # A mask band or alpha beside a nodata value from the spec: both count.
    other = (
        DATASETS.warped(bands[0], image, resampling, None) if nodata is not None and _has_mask(file, bands) else None
    )
    source = round(window.width * bands[0].geobox.shape[1] / band_window(bands[0].geobox, image).width)
    made = (window.height + 2 * _STRIP) * window.width * warp.count * np.dtype(warp.dtypes[0]).itemsize
    pixels = np.empty((len(bands), *window.shape), np.result_type(*{band.dtype for band in bands}))
    valid = np.empty(window.shape, bool)
    _make_room(beside * (_row_bytes(file, bands, source) + made))
    for strip in _strips(window):
        numbers, known = _checked(warp, bands, strip, alpha=nodata is None, nodata=nodata)
        if other is not None:
            known = known & (other.read(other.count, window=_rasterio(strip)) > 0)
        here = strip.within(window)
        pixels[:, *here], valid[here] = numbers, known
    return pixels, valid


def _strips(window: Window) -> Iterator[Window]:
    row = window.row
    while row < window.stop_row:
        stop = min(row // _STRIP * _STRIP + _STRIP, window.stop_row)
        yield Window(row, window.col, stop - row, window.width)
        row = stop


def _rasterio(window: Window) -> RioWindow:
    return RioWindow(window.col, window.row, window.width, window.height)


def _checked(
    file: DatasetReader, bands: list[Band], window: Window, *, alpha: bool = False, nodata: float | None = None
) -> tuple[Pixels, Valid]:
    """Read one window of an open file, in its own pixels, with its validity; with `alpha` the last band is that."""
    at = _rasterio(window)
    indexes = [band.index for band in bands]
    numbers: Pixels = file.read([*indexes, file.count] if alpha else indexes, window=at)
    if numbers.shape != (len(bands) + alpha, *window.shape):
        raise ReadFailed(
            f"{redacted(bands[0].href)}: a short read: {numbers.shape} instead of {(len(bands) + alpha, *window.shape)}"
        )
    pixels = numbers[: len(bands)]
    if alpha:
        valid: Valid = numbers[-1] > 0
    else:
        valid = _with_data(file, bands, pixels, at, bands[0].nodata if nodata is None else nodata)
    if np.issubdtype(pixels.dtype, np.floating):
        for layer in pixels:
            if np.isnan(np.min(layer)):
                valid = valid & ~np.isnan(layer)
    return pixels, valid


def _with_data(file: DatasetReader, bands: list[Band], pixels: Pixels, at: RioWindow, nodata: float | None) -> Valid:
    """Where some band has data: it differs from `nodata`, and the file's own mask does not deny it."""
    masks: list[Valid | None] = [None] * len(bands)
    # A warp has its mask in its nodata; a plain file may have one beside the nodata that is declared.
    if not isinstance(file, WarpedVRT):
        own = file.nodatavals[bands[0].index - 1]
        if _has_mask(file, bands):
            masks = [file.read_masks(bands[0].index, window=at) > 0] * len(bands)
        elif own not in (None, nodata) and not (own != own and nodata is not None and nodata != nodata):
            masks = [mask > 0 for mask in file.read_masks([band.index for band in bands], window=at)]
    found: Valid | None = None
    for layer, mask in zip(pixels, masks, strict=True):
        if nodata is None:
            data = mask
        else:
            data = ~np.isnan(layer) if nodata != nodata else np.not_equal(layer, _as(layer, nodata))
            data = data if mask is None else data & mask
        if data is None:
            return np.ones(pixels.shape[1:], bool)
        found = data if found is None else found | data
        if found.all():
            return np.ones(pixels.shape[1:], bool)
    return np.zeros(pixels.shape[1:], bool) if found is None else found


def _as(layer: Pixels, nodata: float) -> float:
    """`nodata` as an integer for integer pixels, so that they are compared as they are."""
    return int(nodata) if layer.dtype.kind in "iu" and float(nodata).is_integer() else nodata


def _has_mask(file: DatasetReader, bands: list[Band]) -> bool:
    """Whether a mask band or alpha says what is valid. A wanted band that is only tagged as alpha (near infrared in
    four-band aerial photos often is) is data."""
    flags = file.mask_flag_enums[bands[0].index - 1]
    data = any(file.colorinterp[band.index - 1] is ColorInterp.alpha for band in bands)
    return MaskFlags.per_dataset in flags or (MaskFlags.alpha in flags and not data)


def _nodata(file: DatasetReader, band: Band) -> float | None:
    """The value to warp around, when the band's dtype can hold it."""
    nodata = band.nodata if band.nodata is not None else file.nodatavals[band.index - 1]
    if nodata is None or np.issubdtype(np.dtype(band.dtype), np.floating):
        return nodata
    limits = np.iinfo(np.dtype(band.dtype))
    return nodata if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None


def band_window(band: GeoBox, image: GeoBox) -> Window:
    """Where a band can have pixels on the image grid; some too many rather than one too few."""
    return _place(_Grid(band), _Grid(image))[0]


class _Grid:
    """A grid as a key of a cache: GeoBox itself writes its CRS as WKT for every hash, a quarter of a millisecond."""

    def __init__(self, box: GeoBox) -> None:
        self.box, self.key = box, grid_key(box)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Grid) and self.key == other.key


@lru_cache(maxsize=8192)
def _place(grid: _Grid, onto: _Grid) -> tuple[Window, bool]:
    """Where a band can have pixels on the image grid, and whether the two share their pixels: then it is exactly there."""
    band, image = grid.box, onto.box
    origin = pixel_offset(band, image)
    if origin is not None:
        return Window(*origin, *band.shape), True
    left, top, right, bottom = extent_pixels(band, image)
    # Interpolation reaches beyond the edge by some source pixels, which may be larger than the image's.
    room = 2 + int(4 * (crs_pixel_area(band) / crs_pixel_area(image)) ** 0.5 if band.crs == image.crs else 8)
    row, col = int(top) - room, int(left) - room
    return Window(row, col, int(bottom) + room - row, int(right) + room - col), False
