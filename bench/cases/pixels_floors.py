"""Lower bounds of the cost of a map: each step alone, at its best, in CPU milliseconds per million pixels.

Run by bench/pixels.py: python bench/cases/pixels_floors.py MODEL FOLDER IMAGE. The last line on stdout is a JSON object.
Nothing of swath is used here, only the same libraries. Each step may choose its own shape of work; what is in the table is
the quickest.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import rasterio
import torch
from isal import isal_zlib
from numpy.typing import NDArray
from pixels_models import CLASSES, SCALE, read
from rasterio.windows import Window
from torch import Tensor, nn

BLOCK = 512
TILES = (256, 384, 512, 768, 1024)
"""Edges in pixels of what a model is given at once; all are multiples of the models' strides."""
AREA = 2048
"""Edge in pixels of the square that all but reading is measured on."""
READ = 4096
"""Edge in pixels of the square that is read: the largest region of a map."""
TURNS = 3
LEVEL = 1
"""Of ISA-L's Deflate, the quickest there is, as in the maps that swath writes."""


def main(words: list[str]) -> int:
    """Measure all steps of one model."""
    name, folder, image = words[0], Path(words[1]), Path(words[2])
    keep_pages()
    torch.set_num_threads(1)
    network = read(name, folder).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with rasterio.open(image) as file:
        edge = min(AREA, file.width)
        raw = file.read(window=Window(0, 0, edge, edge))
    found = {"read": reading(image)}
    with torch.inference_mode():
        tried = {
            tile: forward(network, raw[:, : max(tile, 1024), : max(tile, 1024)], tile, 1)
            for tile in TILES
            if tile <= edge
        }
        best = min(tried, key=tried.__getitem__)
        found["forward"] = forward(network, raw, best, 2)
        scores = network(scaled(raw[:, :best, :best]))
        around = [(list(cut(raw, tile)), tile) for tile in (best, BLOCK)]
        found["pre"] = min(cost(lambda: over(map(scaled, tiles), tile * tile)) for tiles, tile in around)  # noqa: B023
        found["post"] = cost(lambda: over((largest(scores) for _ in range(TURNS)), best * best))
        found["encode"] = encoding(classified(network, raw))
    print(json.dumps({"floors_ms": found, "tile": best, "forward_ms": tried}))
    return 0


def keep_pages() -> None:
    """Let glibc keep the pages of freed tensors; elsewhere there is nothing to set."""
    try:
        settings = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for name, value in ((-8, 1), (-3, 1 << 30), (-1, (1 << 31) - 1)):  # arenas, mmap threshold, trim threshold
        settings(name, value)


def cost(work: Callable[[], float], turns: int = TURNS) -> float:
    """CPU milliseconds per Mpx of `work`, which returns how many pixels it did; the first turn warms up."""
    taken = []
    for turn in range(turns + 1):
        began = time.process_time()
        pixels = work()
        if turn:
            taken.append(1e9 * (time.process_time() - began) / pixels)
    return statistics.median(taken)


def reading(image: Path) -> float:
    """Each source block decoded once: rows of blocks, or block by block, whichever is quicker."""

    def read_all(height: int, width: int) -> float:
        with rasterio.Env(GDAL_CACHEMAX=256, GDAL_NUM_THREADS="1"), rasterio.open(image) as file:
            rows, cols = min(file.height, READ), min(file.width, READ)
            kept = np.empty((file.count, height, min(width, cols)), np.uint16)
            for row, col in product(range(0, rows, height), range(0, cols, width)):
                at = Window(col, row, min(width, cols - col), min(height, rows - row))
                file.read(window=at, out=kept[:, : at.height, : at.width])
            return float(rows * cols)

    shapes = ((BLOCK, READ), (BLOCK, BLOCK))
    return min(cost(lambda shape=shape: read_all(*shape), 2) for shape in shapes)  # type: ignore[misc]


def forward(network: nn.Module, raw: NDArray[np.uint16], tile: int, turns: int) -> float:
    """The model alone, on tiles of one size that lie side by side."""
    images = [scaled(part) for part in cut(raw, tile)]
    return cost(lambda: over(map(network, images), tile * tile), turns)


def over(results: Iterable[object], pixels: int) -> float:
    """Take all results, each of so many pixels, and drop them; how many pixels they were."""
    return float(sum(pixels for _ in results))


def cut(raw: NDArray[np.uint16], tile: int) -> Iterator[NDArray[np.uint16]]:
    """Whole tiles of (bands, height, width)."""
    for row, col in product(range(0, raw.shape[1] - tile + 1, tile), range(0, raw.shape[2] - tile + 1, tile)):
        yield raw[:, row : row + tile, col : col + tile]


def scaled(raw: NDArray[np.uint16]) -> Tensor:
    """(bands, h, w) of uint16 to (1, bands, h, w) of float32, channels last."""
    image = torch.empty((1, *raw.shape), dtype=torch.float32, memory_format=torch.channels_last)
    np.multiply(raw, SCALE, out=image[0].numpy(), dtype=np.float32, casting="unsafe")
    return image


def largest(scores: Tensor) -> NDArray[np.uint8]:
    """(1, classes, h, w) to the lowest class with the largest score, (h, w)."""
    planes = scores[0].contiguous().numpy()
    best, number = planes[0].copy(), np.zeros(planes.shape[1:], np.uint8)
    for value in range(1, len(planes)):
        larger = planes[value] > best
        np.maximum(number, larger.view(np.uint8) * np.uint8(value), out=number)
        np.maximum(best, planes[value], out=best)
    return number


def classified(network: nn.Module, raw: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The map of a square, as it is encoded."""
    tile = min(BLOCK, raw.shape[1])
    rows = [
        np.concatenate([largest(network(scaled(part))) for part in cut(raw[:, row : row + tile], tile)], axis=1)
        for row in range(0, raw.shape[1] - tile + 1, tile)
    ]
    classes = np.concatenate(rows)
    if len(np.unique(classes)) < CLASSES:
        raise SystemExit(f"the map has classes {np.unique(classes).tolist()}, not all {CLASSES}")
    return classes


def encoding(classes: NDArray[np.uint8]) -> float:
    """Deflate of each block and of its overviews, which take every second pixel of the level below."""

    def encode_all() -> float:
        level = classes
        while True:
            for row, col in product(range(0, level.shape[0], BLOCK), range(0, level.shape[1], BLOCK)):
                isal_zlib.compress(np.ascontiguousarray(level[row : row + BLOCK, col : col + BLOCK]), LEVEL)
            if max(level.shape) <= BLOCK:
                return float(classes.size)
            level = level[::2, ::2]

    return cost(encode_all)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
