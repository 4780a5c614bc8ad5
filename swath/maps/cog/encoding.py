"""How the pixels of a map's file are laid out and compressed: tiles of it, and the overviews that follow from them.

Every tile is encoded once, where its pixels are made; the file is then put together from compressed bytes. So what is here
depends on nothing but the pixels: not on the region that a call covers, nor on the order of calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

Pixels = NDArray[Any]

DEFLATE_LEVEL = 1
"""Of ISA-L's Deflate: a quarter of the time of zlib's first level, and smaller. zlib's sixth makes a map of classes a third
smaller again and takes twenty times as long. The same pixels give the same bytes on processors of one kind."""


@dataclass(frozen=True)
class Encoding:
    """What all pixels of a map's file have in common."""

    dtype: str
    nodata: float
    bands: int = 1
    classes: bool = False
    """Pixels are names, not numbers: an overview takes the most frequent of four, not their mean."""
    blocksize: int = 512
    """Edge of a tile in the file, in pixels; a multiple of 16."""
    alpha: bool = False
    """The last band says where the others are valid, for numbers of which none can stand for nodata; `nodata` is then only what stands
    where they are not."""

    def __post_init__(self) -> None:
        if self.blocksize % 16 or self.blocksize <= 0:
            raise ValueError(f"tiles of a TIFF have a multiple of 16 pixels, not {self.blocksize}")
        if self.classes and (self.dtype != "uint8" or self.bands != 1):
            raise ValueError(f"a map of classes is one band of uint8, not {self.bands} of {self.dtype}")

    def same(self, other: Encoding) -> bool:
        """Whether `other` encodes as this does. Not `==`: a nodata of NaN does not equal itself."""
        return repr(self) == repr(other)

    @property
    def predictor(self) -> int:
        """TIFF's Predictor: 1 none, 2 differences, 3 differences of the bytes of floating point numbers."""
        if self.classes:
            return 1
        return 3 if np.dtype(self.dtype).kind == "f" else 2

    def encode(self, tile: Pixels) -> bytes:
        """A tile of (bands, height, width), cut at the map's edge, to its bytes in the file: pixel by pixel, with predictor
        and Deflate. What is missing at the edge is nodata."""
        edge = self.blocksize
        if tile.shape == (1, edge, edge):
            rows = np.ascontiguousarray(tile[0])
        else:
            whole = np.full((edge, edge, self.bands), self.nodata, self.dtype)
            whole[: tile.shape[1], : tile.shape[2]] = tile.transpose(1, 2, 0)
            rows = whole.reshape(edge, edge * self.bands)
        if self.predictor == 2:
            rows = _differences(rows, self.bands)
        elif self.predictor == 3:
            size = rows.dtype.itemsize
            planes = rows.astype(f"<f{size}").view(np.uint8).reshape(edge, -1, size)[..., ::-1]
            rows = _differences(np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(edge, -1), self.bands)
        return isal_zlib.compress(rows.data, DEFLATE_LEVEL)

    def decode(self, data: bytes | memoryview) -> Pixels:
        """The whole tile (bands, blocksize, blocksize) that `encode` made."""
        edge, kind = self.blocksize, np.dtype(self.dtype)
        raw = isal_zlib.decompress(data)
        if self.predictor == 3:
            shuffled = _sums(np.frombuffer(raw, np.uint8).reshape(edge, -1), self.bands)
            planes = shuffled.reshape(edge, kind.itemsize, -1).transpose(0, 2, 1)[..., ::-1]
            rows: Pixels = np.ascontiguousarray(planes).view(f"<f{kind.itemsize}").astype(kind, copy=False)
        else:
            rows = np.frombuffer(raw, kind)
            if self.predictor == 2:
                rows = _sums(rows.reshape(edge, -1), self.bands)
        return rows.reshape(edge, edge, self.bands).transpose(2, 0, 1)

    @cached_property
    def empty(self) -> bytes:
        """A tile of nothing but nodata."""
        return self.encode(np.full((self.bands, self.blocksize, self.blocksize), self.nodata, self.dtype))

    def tiles(self, pixels: Pixels) -> Iterator[bytes]:
        """The encoded tiles of (bands, height, width), row by row."""
        edge = self.blocksize
        for row in range(0, pixels.shape[1], edge):
            for col in range(0, pixels.shape[2], edge):
                yield self.encode(pixels[:, row : row + edge, col : col + edge])

    def folded(self, pixels: Pixels) -> Pixels:
        """The next overview of (bands, height, width): (bands, (height + 1) // 2, (width + 1) // 2).

        Each of its pixels stands for 2 x 2. Of classes it takes the most frequent of those that are not nodata, of equals
        the first in reading order; of numbers the mean of those that are not nodata, rounded half to even.
        """
        height, width = pixels.shape[1:]
        if height % 2 or width % 2:
            whole = np.full((len(pixels), height + height % 2, width + width % 2), self.nodata, self.dtype)
            whole[:, :height, :width] = pixels
            pixels = whole
        quarters = [np.ascontiguousarray(pixels[:, row::2, col::2]) for row in (0, 1) for col in (0, 1)]
        return self._most_frequent(*quarters) if self.classes else self._mean(quarters)

    def _most_frequent(self, a: Pixels, b: Pixels, c: Pixels, d: Pixels) -> Pixels:
        # Two that agree outvote the others; only a tie of two pairs needs the reading order, which the order here keeps.
        chosen = np.where(c == d, c, a)
        chosen = np.where((b == c) | (b == d), b, chosen)
        chosen = np.where((a == b) | (a == c) | (a == d), a, chosen)
        nothing = self.nodata
        if any((quarter == nothing).any() for quarter in (a, b, c, d)):
            # Nodata has no vote: what a pixel has once is then more than nothing.
            pair = np.where((c == d) & (c != nothing), c, nothing)
            pair = np.where(((b == c) | (b == d)) & (b != nothing), b, pair)
            pair = np.where(((a == b) | (a == c) | (a == d)) & (a != nothing), a, pair)
            for single in (a, b, c, d):
                pair = np.where(pair == nothing, single, pair)
            chosen = pair
        return chosen.astype(self.dtype, copy=False)

    def _mean(self, quarters: list[Pixels]) -> Pixels:
        total = np.zeros(quarters[0].shape, np.float64)
        count = np.zeros(quarters[0].shape, np.float64)
        for quarter in quarters:
            there = self.valid(quarter)
            total += np.where(there, quarter, 0)
            count += there
        mean = total / np.maximum(count, 1)
        if np.dtype(self.dtype).kind != "f":
            mean = np.rint(mean)
        return np.where(count > 0, mean, self.nodata).astype(self.dtype)

    def valid(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Where pixels are something other than nodata; same shape."""
        if self.alpha:
            return np.broadcast_to(pixels[-1:] > 0, pixels.shape)
        there: NDArray[np.bool_] = ~np.isnan(pixels) if np.isnan(self.nodata) else pixels != self.nodata
        return there


def _differences(rows: Pixels, step: int) -> Pixels:
    """Of each number to the one `step` places before it in its row."""
    result = rows.copy()
    result[:, step:] -= rows[:, :-step]
    return result


def _sums(rows: Pixels, step: int) -> Pixels:
    """Undoes `_differences`."""
    each = rows.reshape(len(rows), -1, step)
    total: Pixels = np.add.accumulate(each, axis=1, dtype=rows.dtype)
    return total.reshape(rows.shape)
