"""Pixels of one file in a window of the image grid: read directly where the two share their pixels, else through a warp."""

from __future__ import annotations

from collections.abc import Iterator

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
from swath.imagery.geometry.placement import band_window, placement
from swath.imagery.reading.dataset_cache import DATASETS, DatasetCache
from swath.imagery.reading.open_raster import gdal_errors
from swath.imagery.scene import Band
from swath.storage.address import redacted

Pixels = NDArray[np.generic]
Valid = NDArray[np.bool_]

_STRIP_ROWS = 128
"""Warped pixels are read in strips of so many rows, the height of a WarpedVRT's blocks. GDAL then warps whole blocks of the
image grid and caches them. It would warp a taller window by itself, and its interpolation depends on the window in the last bits
(so rounded ties differ: 2613 of 1.2 million pixels in one test)."""
_MIN_CACHED_ROWS = 512
"""Callers read a region in strips whose halo rows overlap; at least so many source rows are cached of a file with low blocks."""


def read_file(
    bands: list[Band],
    image: GeoBox,
    window: Window,
    resampling: str,
    *,
    files: int = 1,
    datasets: DatasetCache = DATASETS,
) -> tuple[Pixels, Valid]:
    """Bands of one file that have the same nodata value: pixels (bands, height, width) of their common dtype, and a mask of valid
    pixels (height, width). Invalid pixels hold what the file has there, or 0 outside of it.

    `files` says how many files the caller reads for this window: of each so many blocks are cached that the next window below,
    which shares some rows with this one, decodes none again. Raises ReadFailed and ImageryError.
    """
    place = FailedRead(redacted(bands[0].href), (window.row, window.stop_row), (window.col, window.stop_col))
    where = "reading rows {}-{}, columns {}-{} of the image, {} pixels".format(
        *place.rows, *place.columns, place.pixels
    )
    extent, native = placement(bands[0].geobox, image)
    part = extent.intersection(window)
    if part is not None and not native:
        part = part.intersection(Window(0, 0, *image.shape))
    if part is None:
        return _empty(bands, window)
    try:
        with gdal_errors(bands[0].href, where):
            if not native:
                numbers, known = _read_warped(bands, image, part, resampling, files, datasets)
            else:
                inner = Window(part.row - extent.row, part.col - extent.col, part.height, part.width)
                file = datasets.file(bands[0])
                _resize_block_cache(datasets, files * _cached_bytes(file, bands, inner.width))
                numbers, known = _read_dataset(file, bands, inner)
    except ReadFailed as error:
        datasets.drop(bands[0].href)
        error.failed = place
        raise
    if part == window:
        return numbers, known
    pixels, valid = _empty(bands, window)
    here = part.within(window)
    pixels[:, *here], valid[here] = numbers, known
    return pixels, valid


def _empty(bands: list[Band], window: Window) -> tuple[Pixels, Valid]:
    dtype = np.result_type(*{band.dtype for band in bands})
    return np.zeros((len(bands), *window.shape), dtype), np.zeros(window.shape, bool)


def _resize_block_cache(datasets: DatasetCache, need: int) -> None:
    """GDAL has one block cache for the process. Its size holds until the end of the `with gdal_errors`."""
    setenv(GDAL_CACHEMAX=datasets.block_bytes(need))


def _cached_bytes(file: DatasetReader, bands: list[Band], width: int) -> int:
    """Bytes of three rows of a file's blocks, `width` pixels wide: what a window and the next one below have in common."""
    index = bands[0].index - 1
    rows, cols = file.block_shapes[index]
    across = min(-(-width // cols) + 1, -(-file.width // cols)) * cols
    layers = file.count if file.interleaving is not None and file.interleaving.name == "pixel" else len(bands)
    return int(max(3 * rows, _MIN_CACHED_ROWS) * across * layers * np.dtype(file.dtypes[index]).itemsize)


def _read_warped(
    bands: list[Band], image: GeoBox, window: Window, resampling: str, files: int, datasets: DatasetCache
) -> tuple[Pixels, Valid]:
    file = datasets.file(bands[0])
    nodata = _nodata(file, bands[0])
    warp = datasets.warped(bands[0], image, resampling, nodata)
    # A mask band or alpha beside a nodata value from the spec: both count.
    masked = (
        datasets.warped(bands[0], image, resampling, None) if nodata is not None and _has_mask(file, bands) else None
    )
    source = round(window.width * bands[0].geobox.shape[1] / band_window(bands[0].geobox, image).width)
    warped_bytes = (window.height + 2 * _STRIP_ROWS) * window.width * warp.count * np.dtype(warp.dtypes[0]).itemsize
    pixels = np.empty((len(bands), *window.shape), np.result_type(*{band.dtype for band in bands}))
    valid = np.empty(window.shape, bool)
    _resize_block_cache(datasets, files * (_cached_bytes(file, bands, source) + warped_bytes))
    for strip in _strips(window):
        numbers, known = _read_dataset(warp, bands, strip, alpha=nodata is None, nodata=nodata)
        if masked is not None:
            known = known & (masked.read(masked.count, window=_rasterio_window(strip)) > 0)
        here = strip.within(window)
        pixels[:, *here], valid[here] = numbers, known
    return pixels, valid


def _strips(window: Window) -> Iterator[Window]:
    row = window.row
    while row < window.stop_row:
        stop = min(row // _STRIP_ROWS * _STRIP_ROWS + _STRIP_ROWS, window.stop_row)
        yield Window(row, window.col, stop - row, window.width)
        row = stop


def _rasterio_window(window: Window) -> RioWindow:
    return RioWindow(window.col, window.row, window.width, window.height)


def _read_dataset(
    file: DatasetReader, bands: list[Band], window: Window, *, alpha: bool = False, nodata: float | None = None
) -> tuple[Pixels, Valid]:
    """One window of an open dataset, in its own pixels: numbers and which are valid; with `alpha` its last band says so."""
    at = _rasterio_window(window)
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
        valid = _has_data(file, bands, pixels, at, bands[0].nodata if nodata is None else nodata)
    return pixels, measured(pixels, valid)


def measured(pixels: Pixels, valid: Valid) -> Valid:
    """`valid` without pixels of which a band is no number that float32 holds: NaN, an infinity, or a float64 beyond its range, as
    some programs write for missing data. `pixels` is (bands, height, width)."""
    if not np.issubdtype(pixels.dtype, np.floating):
        return valid
    largest = np.finfo(np.float32).max
    for layer in pixels:
        if layer.size and not (np.min(layer) >= -largest and np.max(layer) <= largest):  # not true of NaN either
            valid = valid & (np.abs(layer) <= largest)
    return valid


def _has_data(file: DatasetReader, bands: list[Band], pixels: Pixels, at: RioWindow, nodata: float | None) -> Valid:
    """Where some band has data: it differs from `nodata`, and the file's own mask does not exclude it."""
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
            data = ~np.isnan(layer) if nodata != nodata else np.not_equal(layer, _comparable(layer, nodata))
            data = data if mask is None else data & mask
        if data is None:
            return np.ones(pixels.shape[1:], bool)
        found = data if found is None else found | data
        if found.all():
            return np.ones(pixels.shape[1:], bool)
    return np.zeros(pixels.shape[1:], bool) if found is None else found


def _comparable(layer: Pixels, nodata: float) -> float:
    """`nodata` as an integer for integer pixels, so that they are compared as they are."""
    return int(nodata) if layer.dtype.kind in "iu" and float(nodata).is_integer() else nodata


def _has_mask(file: DatasetReader, bands: list[Band]) -> bool:
    """Whether a mask band or alpha says what is valid. A wanted band that is only tagged as alpha (near infrared in
    four-band aerial photos often is) is data."""
    flags = file.mask_flag_enums[bands[0].index - 1]
    data = any(file.colorinterp[band.index - 1] is ColorInterp.alpha for band in bands)
    return MaskFlags.per_dataset in flags or (MaskFlags.alpha in flags and not data)


def _nodata(file: DatasetReader, band: Band) -> float | None:
    """The nodata value for a warp; None when there is none, or the band's dtype cannot hold it."""
    nodata = band.nodata if band.nodata is not None else file.nodatavals[band.index - 1]
    if nodata is None or np.issubdtype(np.dtype(band.dtype), np.floating):
        return nodata
    limits = np.iinfo(np.dtype(band.dtype))
    return nodata if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None
