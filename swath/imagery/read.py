"""Reading pixels: one window of the image grid, mosaicked from every scene that touches it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import DTypeLike, NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RioWindow

from swath.errors import ImageryError, ReadFailed
from swath.geo import Window
from swath.imagery.footprint import extent_pixels
from swath.imagery.grid import offset_in, pixel_area
from swath.imagery.mask import usable
from swath.imagery.opened import opened
from swath.imagery.raster import gdal_errors, shown
from swath.imagery.scene import Band, Scene, Scenes

Pixels = NDArray[np.generic]
Valid = NDArray[np.bool_]

_TILE_HEIGHT, _TILE_WIDTH = 128, 512
"""Warped pixels are always made in whole tiles of this lattice of the image grid. GDAL's interpolation depends on the
window that is asked for in the last bits (so rounded ties differ: 2613 of 1.2 million pixels in one test)."""


def read(scenes: Scenes, window: Window, *, reflectance: bool = False) -> tuple[Pixels, Valid]:
    """Pixels of `window` on `scenes.image`, and which of them are valid.

    Pixels have the shape (bands, height, width) and the scenes' common dtype, or float32 in physical values (number *
    scale + offset) with `reflectance`. Invalid pixels are 0. `valid` has the shape (height, width). A pixel of a scene
    is valid where every one of its files has data there: by nodata (at least one wanted band of that file differs from
    it), mask band or alpha, where no wanted band is NaN, and where the quality mask does not reject it. Where several
    scenes are valid, `first` and `last` take all bands of that scene, `median` takes each band's middle value; of an
    even count the lower of the two, so that each value is one that was measured and the dtype stays.

    Raises ReadFailed when a file cannot be read, ImageryError when it is not what the scene says, or has no scale.
    """
    if reflectance:
        _need_scale(scenes)
    dtype = np.dtype(np.float32) if reflectance else common_dtype(scenes)
    touching = [scene for scene in scenes.scenes if _touches(scene, scenes.image, window)]
    if scenes.mosaic == "last":
        touching.reverse()
    if scenes.mosaic == "median" and len(touching) > 1:
        return _median([_read_scene(scene, scenes, window, dtype, reflectance) for scene in touching])
    pixels = np.zeros((len(scenes.bands), *window.shape), dtype=dtype)
    valid = np.zeros(window.shape, dtype=bool)
    for scene in touching:
        more, more_valid = _read_scene(scene, scenes, window, dtype, reflectance)
        new = more_valid & ~valid
        pixels[:, new] = more[:, new]
        valid |= new
        if valid.all():
            break
    return pixels, valid


def common_dtype(scenes: Scenes) -> np.dtype[np.generic]:
    """The smallest dtype that holds every band of every scene."""
    return np.result_type(*{np.dtype(band.dtype) for scene in scenes.scenes for band in scene.bands})


def _need_scale(scenes: Scenes) -> None:
    for scene in scenes.scenes:
        for band in scene.bands:
            if band.scale is None:
                raise ImageryError(
                    f"{scene.id}: the model takes physical values, and nothing says the scale of band {band.name}",
                    remedy="Set imagery.scale and imagery.offset (such as 0.0001 and 0 for Sentinel-2).",
                )


def _median(layers: list[tuple[Pixels, Valid]]) -> tuple[Pixels, Valid]:
    pixels = np.stack([layer for layer, _ in layers])
    valid = np.stack([mask for _, mask in layers])
    dtype = pixels.dtype
    last = np.inf if np.issubdtype(dtype, np.floating) else np.iinfo(str(dtype)).max
    count = valid.sum(axis=0)
    ordered = np.sort(np.where(valid[:, None], pixels, np.asarray(last, dtype)), axis=0)
    middle = np.maximum(count - 1, 0) // 2
    chosen = np.take_along_axis(ordered, middle[None, None], axis=0)[0]
    return np.where(count > 0, chosen, np.zeros((), dtype)), count > 0


def _read_scene(
    scene: Scene, scenes: Scenes, window: Window, dtype: DTypeLike, reflectance: bool
) -> tuple[Pixels, Valid]:
    """One scene on the window: pixels (bands, height, width) with 0 where invalid, valid (height, width)."""
    pixels = np.zeros((len(scene.bands), *window.shape), dtype=dtype)
    valid = np.ones(window.shape, dtype=bool)
    files: dict[tuple[str, float | str | None], list[int]] = {}
    for position, band in enumerate(scene.bands):
        files.setdefault((band.href, "nan" if band.nodata != band.nodata else band.nodata), []).append(position)
    if scene.quality is not None and scenes.mask is not None:
        values, known = _read_file([scene.quality], scenes.image, window, "nearest")
        valid &= known & usable(scenes.mask, values[0].astype(np.int64))
    for positions in files.values():
        if not valid.any():
            break
        numbers, known = _read_file([scene.bands[p] for p in positions], scenes.image, window, scenes.resampling)
        valid &= known
        for position, layer in zip(positions, numbers, strict=True):
            band = scene.bands[position]
            if reflectance and band.scale is not None:
                layer = (layer.astype(np.float64) * band.scale + (band.offset or 0.0)).astype(np.float32)
            pixels[position] = layer
    pixels[:, ~valid] = 0
    return pixels, valid


def _read_file(bands: list[Band], image: GeoBox, window: Window, resampling: str) -> tuple[Pixels, Valid]:
    """Bands of one file with one nodata value on the window."""
    where = f"reading rows {window.row}-{window.stop_row}, columns {window.col}-{window.stop_col} of the image"
    origin = offset_in(bands[0].geobox, image)
    pixels = np.zeros((len(bands), *window.shape), dtype=np.result_type(*{band.dtype for band in bands}))
    valid = np.zeros(window.shape, dtype=bool)
    try:
        with gdal_errors(bands[0].href, where):
            if origin is not None:
                row, col = origin
                extent = Window(row, col, *bands[0].geobox.shape)
                part = window.intersection(extent)
                if part is not None:
                    inner = Window(part.row - row, part.col - col, part.height, part.width)
                    at = (slice(None), *part.within(window))
                    pixels[at], valid[at[1:]] = _read_native(bands, inner)
            else:
                for tile in _tiles(_reach(bands[0].geobox, image), window, image):
                    part = tile.intersection(window)
                    if part is None:
                        continue
                    numbers, known = _read_warped(bands, image, tile, resampling)
                    target, source = part.within(window), part.within(tile)
                    pixels[(slice(None), *target)] = numbers[(slice(None), *source)]
                    valid[target] = known[source]
    except ReadFailed:
        opened.drop(bands[0].href)
        raise
    return pixels, valid


def _read_native(bands: list[Band], window: Window) -> tuple[Pixels, Valid]:
    file = opened.file(bands[0])
    return _checked(file, bands, window)


def _read_warped(bands: list[Band], image: GeoBox, tile: Window, resampling: str) -> tuple[Pixels, Valid]:
    file = opened.file(bands[0])
    nodata = _nodata(file, bands[0])
    masked = _has_mask(file, bands)
    if nodata is None:
        return _checked(opened.warped(bands[0], image, resampling, None), bands, tile, alpha=True)
    pixels, valid = _checked(opened.warped(bands[0], image, resampling, nodata), bands, tile, nodata=nodata)
    if masked:  # a mask band or alpha beside a nodata value from the spec: both count
        valid &= _checked(opened.warped(bands[0], image, resampling, None), bands, tile, alpha=True)[1]
    return pixels, valid


def _checked(
    file: DatasetReader, bands: list[Band], window: Window, *, alpha: bool = False, nodata: float | None = None
) -> tuple[Pixels, Valid]:
    """Read one window of an open file, in its own pixels, with its validity."""
    at = RioWindow(window.col, window.row, window.width, window.height)
    indexes = [band.index for band in bands]
    pixels: Pixels = file.read(indexes, window=at)
    if pixels.shape != (len(bands), *window.shape):
        raise ReadFailed(
            f"{shown(bands[0].href)}: a short read: {pixels.shape} instead of {(len(bands), *window.shape)}"
        )
    if alpha:
        valid: Valid = file.read(file.count, window=at) > 0
    else:
        each = np.ones(pixels.shape, dtype=bool)
        declared = bands[0].nodata if nodata is None else nodata
        own = file.nodatavals[indexes[0] - 1]
        # A warp has its mask in its nodata; a plain file may have one beside the nodata that is declared.
        if not isinstance(file, WarpedVRT) and (_has_mask(file, bands) or own not in (None, declared)):
            each &= file.read_masks(indexes, window=at) > 0
        if declared is not None:
            each &= ~np.isnan(pixels) if np.isnan(declared) else np.not_equal(pixels, declared)
        valid = np.any(each, axis=0)
    if np.issubdtype(pixels.dtype, np.floating):
        valid &= ~np.isnan(pixels).any(axis=0)
    return pixels, valid


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


def _touches(scene: Scene, image: GeoBox, window: Window) -> bool:
    return all(_reach(grid, image).intersection(window) for grid in {band.geobox for band in scene.bands})


@lru_cache(maxsize=8192)
def _reach(band: GeoBox, image: GeoBox) -> Window:
    """Where a band can have pixels on the image grid; some too many rather than one too few."""
    origin = offset_in(band, image)
    if origin is not None:
        return Window(*origin, *band.shape)
    left, top, right, bottom = extent_pixels(band, image)
    # Interpolation reaches beyond the edge by some source pixels, which may be larger than the image's.
    room = 2 + int(4 * (pixel_area(band) / pixel_area(image)) ** 0.5 if band.crs == image.crs else 8)
    row, col = int(top) - room, int(left) - room
    return Window(row, col, int(bottom) + room - row, int(right) + room - col)


def _tiles(reach: Window, window: Window, image: GeoBox) -> Iterator[Window]:
    """The tiles of the image's lattice that hold pixels of both windows."""
    part = reach.intersection(window)
    if part is None:
        return
    height, width = image.shape
    rows = range(part.row // _TILE_HEIGHT * _TILE_HEIGHT, part.stop_row, _TILE_HEIGHT)
    cols = range(part.col // _TILE_WIDTH * _TILE_WIDTH, part.stop_col, _TILE_WIDTH)
    for row, col in product(rows, cols):
        yield Window(row, col, min(_TILE_HEIGHT, height - row), min(_TILE_WIDTH, width - col))
