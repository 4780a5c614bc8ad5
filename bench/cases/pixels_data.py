"""The imagery of the pixel benchmark: textured 4-band uint16 COGs, the same on every machine.

They are made once, into a folder that is kept. Fields with borders, slow gradients and noise: they compress about as real
reflectance does, and models find all of their classes in them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.windows import Window

BANDS = ("blue", "green", "red", "nir")
EDGE = 2048
"""Edge in pixels of the squares that an image is put together from: each is the same texture, rolled and flipped its own way."""
OCTAVES = ((256, 1.0), (64, 0.6), (16, 0.35), (4, 0.2), (1, 0.06))
"""(period in pixels, amplitude) of the noise."""
GRID = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_200_000, 10, 10)}


def image(folder: Path, size: int) -> Path:
    """The COG of `size` x `size` pixels, made when it is not there yet."""
    path = folder / f"textured-{size}.tif"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plain, temporary = (folder / f".{os.getpid()}-{kind}-{size}.tif" for kind in ("plain", "made"))
        try:
            _write_plain(plain, size)
            copy(
                plain, temporary, driver="COG", compress="DEFLATE", predictor="2", level=6, blocksize=512,
                overview_resampling="average", num_threads="ALL_CPUS", bigtiff="IF_SAFER",
            )  # fmt: skip
            temporary.replace(path)
        finally:
            plain.unlink(missing_ok=True)
            temporary.unlink(missing_ok=True)
    return path


def sparse(folder: Path, size: int) -> Path:
    """A sparse GeoTIFF of the same layout: all blocks are missing and read as 0, which is not nodata."""
    path = folder / f"sparse-{size}.tif"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{os.getpid()}-sparse-{size}.tif"
        with rasterio.open(
            temporary, "w", driver="GTiff", width=size, height=size, count=len(BANDS), dtype="uint16", tiled=True,
            blockxsize=512, blockysize=512, sparse_ok=True, bigtiff="YES", interleave="pixel", compress="deflate", **GRID,
        ):  # fmt: skip
            pass
        temporary.replace(path)
    return path


def texture(edge: int, seed: int) -> NDArray[np.float32]:
    """Periodic noise, float32 (edge, edge): bilinear between random numbers, at several scales."""
    random = np.random.default_rng(seed)
    total = np.zeros((edge, edge), np.float32)
    for period, amplitude in OCTAVES:
        knots = random.standard_normal((edge // period, edge // period), dtype=np.float32)
        if period == 1:
            total += np.float32(amplitude) * knots
            continue
        at, between = np.divmod(np.arange(edge), period)
        share = (between / period).astype(np.float32)
        after = (at + 1) % len(knots)
        rows = knots[at] * (1 - share)[:, None] + knots[after] * share[:, None]
        total += np.float32(amplitude) * (rows[:, at] * (1 - share) + rows[:, after] * share)
    return total


def square(edge: int) -> NDArray[np.uint16]:
    """The texture that all images are made of: uint16 (bands, edge, edge)."""
    base = texture(edge, 0)
    fields = np.floor(base * 2)
    pixels = np.empty((len(BANDS), edge, edge), np.uint16)
    for band in range(len(BANDS)):
        noise = 15 * np.random.default_rng(100 + band).standard_normal((edge, edge), dtype=np.float32)
        level = 1800 + 600 * band + 500 * base + 350 * np.sin(fields * (band + 1) * 1.7)
        pixels[band] = np.clip(level + 120 * texture(edge, 1000 * (band + 1)) + noise, 1, 12_000)
    return pixels


def _write_plain(path: Path, size: int) -> None:
    base = square(EDGE)
    with rasterio.open(
        path, "w", driver="GTiff", width=size, height=size, count=len(BANDS), dtype="uint16", tiled=True,
        blockxsize=512, blockysize=512, interleave="pixel", bigtiff="IF_SAFER", **GRID,
    ) as file:  # fmt: skip
        for row in range(0, size, EDGE):
            for col in range(0, size, EDGE):
                random = np.random.default_rng([row, col])
                pixels = np.roll(base, random.integers(0, EDGE, 2).tolist(), axis=(1, 2))
                down, across, turned = random.integers(0, 2, 3)
                pixels = pixels[:, :: 1 - 2 * down, :: 1 - 2 * across]
                pixels = pixels.swapaxes(1, 2) if turned else pixels
                height, width = min(EDGE, size - row), min(EDGE, size - col)
                file.write(np.ascontiguousarray(pixels[:, :height, :width]), window=Window(col, row, width, height))
