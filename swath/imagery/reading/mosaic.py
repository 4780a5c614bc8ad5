"""Mosaics: the pixels of one window of the image grid, from every scene that touches it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from swath.errors import ImageryError
from swath.geo import Window
from swath.imagery.geometry.image_grid import grid_key, pixel_offset
from swath.imagery.geometry.placement import band_window
from swath.imagery.reading.dataset_cache import DATASETS, DatasetCache
from swath.imagery.reading.quality_mask import usable
from swath.imagery.reading.window import Pixels, Valid, measured, read_file
from swath.imagery.scene import Band, Scene, Scenes, band_resampling, file_of

MEDIAN_BYTES = 128 * 2**20
"""Memory of a median: it holds all scenes of some columns at a time, as many columns as fit in here."""
_COLUMNS = 512
"""The columns of a median are cut at multiples of this, the usual width of a block."""


def read_mosaic(
    scenes: Scenes,
    window: Window,
    *,
    reflectance: bool = False,
    datasets: DatasetCache = DATASETS,
    median_bytes: int = MEDIAN_BYTES,
) -> tuple[Pixels, Valid]:
    """Pixels of `window` on `scenes.image`, and which of them are valid.

    Pixels have the shape (bands, height, width) and the scenes' common dtype, or float32 in physical values (number *
    scale + offset) with `reflectance`. Invalid pixels are 0. `valid` is a mask (height, width). A pixel of a scene is valid
    where every one of its files has data there: by nodata (at least one of the bands that are read from that file differs from
    it), mask band or alpha, where no band is NaN, and where the quality mask does not reject it. Where several scenes are valid,
    `first`, `last` and `least_cloud` take all bands of one scene: the first or last of them, in the order of `scenes`.
    `median` takes each band's middle value; of an even count the lower of the two, so that each value is one that was
    measured and the dtype stays; bands of flags or classes are taken from the scene of the first measured band's value.

    Flags and classes are resampled by nearest or mode, and stay as they are with `reflectance`.

    Raises ReadFailed when a file cannot be read, ImageryError when it is not what the scene says, or has no scale.
    """
    if reflectance:
        check_scale(scenes)
    touching = [scene for scene in scenes.scenes if _touches(scene, scenes.image, window)]
    if scenes.mosaic == "last":
        touching.reverse()
    job = _Job(
        scenes,
        physical_dtype(scenes) if reflectance else common_dtype(scenes),
        reflectance,
        len({band.href for scene in touching for band in (*scene.bands, scene.quality) if band is not None}),
        datasets,
        median_bytes,
    )
    if scenes.mosaic == "median" and len(touching) > 1:
        return _median(touching, window, job)
    return _first(touching, window, job)


def common_dtype(scenes: Scenes) -> np.dtype[np.generic]:
    """The smallest dtype that holds every band of every scene."""
    return np.result_type(*{np.dtype(band.dtype) for scene in scenes.scenes for band in scene.bands})


def physical_dtype(scenes: Scenes) -> np.dtype[np.generic]:
    """float32; float64 where a band of flags or classes has values that float32 does not hold."""
    flags = {np.dtype(band.dtype) for scene in scenes.scenes for band in scene.bands if band.categorical}
    return np.result_type(np.float32, *flags)


@dataclass(frozen=True)
class _Job:
    """What is the same for all scenes of one read."""

    scenes: Scenes
    dtype: np.dtype[np.generic]
    """Of the result."""
    reflectance: bool
    files: int
    """How many are read."""
    datasets: DatasetCache
    median_bytes: int


def check_scale(scenes: Scenes) -> None:
    """Raise ImageryError when the scale of a band that is needed as a physical value is not known."""
    for scene in scenes.scenes:
        for band in scene.bands:
            if band.scale is None and not band.categorical:
                raise ImageryError(
                    f"{file_of(scene, band)}: physical values are needed, and nothing says the scale of band {band.name}",
                    remedy="Set imagery.scale and imagery.offset (Sentinel-2: 0.0001 and 0, from processing baseline 04.00 on -0.1). "
                    "Whole products with {band} in imagery.paths say both themselves: docs/reading.md.",
                )
            if band.scale == 0 and not band.categorical:
                raise ImageryError(
                    f"{file_of(scene, band)}: the scale of band {band.name} is 0, so all its pixels would have one physical value",
                    remedy="Set imagery.scale and imagery.offset.",
                )


def _first(touching: list[Scene], window: Window, job: _Job) -> tuple[Pixels, Valid]:
    """Each pixel from the first scene in which it is valid. Of later scenes only the part with missing pixels is read."""
    if not touching:
        return np.zeros((len(job.scenes.bands), *window.shape), job.dtype), np.zeros(window.shape, bool)
    pixels, valid = _read_scene(touching[0], window, job)
    for scene in touching[1:]:
        missing = _missing(valid, window)
        if missing is None:
            break
        here = missing.within(window)
        if not _touches(scene, job.scenes.image, missing):
            continue
        more, known = _read_scene(scene, missing, job)
        new = known & ~valid[here]
        if new.any():
            for layer, values in zip(pixels, more, strict=True):
                np.copyto(layer[here], values, where=new)
            valid[here] |= new
    return pixels, valid


def _missing(valid: Valid, window: Window) -> Window | None:
    """The smallest window that holds every pixel that is not valid."""
    if valid.all():
        return None
    rows, cols = np.flatnonzero(~valid.all(axis=1)), np.flatnonzero(~valid.all(axis=0))
    return Window(
        window.row + int(rows[0]), window.col + int(cols[0]), int(rows[-1] - rows[0]) + 1, int(cols[-1] - cols[0]) + 1
    )


def _median(touching: list[Scene], window: Window, job: _Job) -> tuple[Pixels, Valid]:
    """Some columns at a time, so that memory does not grow with the number of scenes."""
    pixels = np.zeros((len(job.scenes.bands), *window.shape), job.dtype)
    valid = np.zeros(window.shape, bool)
    flags = [number for number, band in enumerate(job.scenes.scenes[0].bands) if band.categorical]
    measured = next(number for number in range(len(pixels)) if number not in flags) if flags else 0
    column_bytes = len(touching) * window.height * (len(pixels) * job.dtype.itemsize + 1)
    for part in _columns(window, max(1, job.median_bytes // column_bytes)):
        layers = np.empty((len(touching), len(pixels), *part.shape), job.dtype)
        known = np.empty((len(touching), *part.shape), bool)
        for number, scene in enumerate(touching):
            layers[number], known[number] = _read_scene(scene, part, job)
        here = part.within(window)
        middle = _middle(layers, known)
        if flags:
            used = (known & (layers[:, measured] == middle[measured])).argmax(axis=0)
            middle[flags] = np.take_along_axis(layers[:, flags], used[None, None], axis=0)[0]
            middle[:, ~known.any(axis=0)] = 0
        pixels[:, *here], valid[here] = middle, known.any(axis=0)
    return pixels, valid


def _columns(window: Window, width: int) -> list[Window]:
    """`window` in pieces of at most `width` columns, cut where blocks end when `width` is at least a block."""
    if width >= _COLUMNS:
        width = width // _COLUMNS * _COLUMNS
    parts, col = [], window.col
    while col < window.stop_col:
        stop = min(col // width * width + width, window.stop_col)
        parts.append(Window(window.row, col, window.height, stop - col))
        col = stop
    return parts


def _middle(layers: Pixels, known: Valid) -> Pixels:
    """The lower middle of the known values (scenes, bands, height, width) along the scenes; 0 where there is none."""
    if known.all():
        middle = (len(layers) - 1) // 2
        chosen: Pixels = np.partition(layers, middle, axis=0)[middle]
        return chosen
    dtype = layers.dtype
    last = np.inf if np.issubdtype(dtype, np.floating) else np.iinfo(str(dtype)).max
    layers = np.where(known[:, None], layers, np.asarray(last, dtype))
    layers.sort(axis=0)
    count = known.sum(axis=0)
    chosen = np.take_along_axis(layers, (np.maximum(count - 1, 0) // 2)[None, None], axis=0)[0]
    chosen[:, count == 0] = 0
    return chosen


def _read_scene(scene: Scene, window: Window, job: _Job) -> tuple[Pixels, Valid]:
    """One scene on the window: pixels (bands, height, width) with 0 where invalid, valid (height, width)."""
    image, mask = job.scenes.image, job.scenes.mask
    pixels: Pixels | None = None
    valid = np.ones(window.shape, bool)
    if scene.quality is not None and mask is not None:
        values, known = read_file([scene.quality], image, window, "nearest", files=job.files, datasets=job.datasets)
        valid = known & usable(mask, values[0])
    for positions in _by_file(scene.bands):
        if not valid.any():
            break
        bands = [scene.bands[position] for position in positions]
        numbers, known = _read_bands(bands, window, job)
        valid &= known
        if len(bands) == len(scene.bands) and not job.reflectance and numbers.dtype == job.dtype:
            pixels = numbers
            continue
        if pixels is None:
            pixels = np.empty((len(scene.bands), *window.shape), job.dtype)
        for position, band, layer in zip(positions, bands, numbers, strict=True):
            pixels[position] = _physical(layer, band) if job.reflectance and not band.categorical else layer
        if job.reflectance and numbers.dtype.kind == "f":
            valid = measured(pixels[positions], valid)
    if pixels is None or not valid.any():
        return np.zeros((len(scene.bands), *window.shape), job.dtype), np.zeros(window.shape, bool)
    if not valid.all():
        for layer in pixels:
            np.copyto(layer, 0, where=~valid)
    return pixels, valid


def _read_bands(bands: list[Band], window: Window, job: _Job) -> tuple[Pixels, Valid]:
    """Bands of one file: pixels (bands, height, width) and valid (height, width). Its flags are resampled apart."""
    image = job.scenes.image
    hows = [band_resampling(band, job.scenes.resampling) for band in bands]
    if len(set(hows)) == 1 or pixel_offset(bands[0].geobox, image) is not None:
        return read_file(bands, image, window, hows[0], files=job.files, datasets=job.datasets)
    pixels = np.empty((len(bands), *window.shape), np.result_type(*{np.dtype(band.dtype) for band in bands}))
    masks = []
    for how in dict.fromkeys(hows):
        positions = [number for number, each in enumerate(hows) if each == how]
        some = [bands[number] for number in positions]
        pixels[positions], known = read_file(some, image, window, how, files=job.files, datasets=job.datasets)
        masks.append(known)
    return pixels, masks[0] & masks[1]


def _by_file(bands: tuple[Band, ...]) -> list[list[int]]:
    """Positions of the bands that are read together: those of one file with one nodata value."""
    files: dict[tuple[str, float | str | None], list[int]] = {}
    for position, band in enumerate(bands):
        files.setdefault((band.href, "nan" if band.nodata != band.nodata else band.nodata), []).append(position)
    return list(files.values())


def _physical(layer: NDArray[np.generic], band: Band) -> NDArray[np.float32]:
    """number * scale + offset in float64, then as float32."""
    scale, offset = 1.0 if band.scale is None else band.scale, band.offset or 0.0
    if layer.dtype in (np.uint8, np.uint16) and layer.size > 65536:
        values: NDArray[np.float32] = _table(layer.dtype.itemsize, scale, offset)[layer]
        return values
    return _scaled(layer, scale, offset)


def _scaled(layer: NDArray[np.generic], scale: float, offset: float) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what float32 does not hold is no data, see `measured`
        return (layer.astype(np.float64) * scale + offset).astype(np.float32)


@lru_cache(maxsize=64)
def _table(size: int, scale: float, offset: float) -> NDArray[np.float32]:
    """The physical value of every unsigned integer of `size` bytes."""
    return _scaled(np.arange(256**size), scale, offset)


def _touches(scene: Scene, image: GeoBox, window: Window) -> bool:
    grids = {grid_key(band.geobox): band.geobox for band in scene.bands}
    return all(band_window(grid, image).intersection(window) for grid in grids.values())
