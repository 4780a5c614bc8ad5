"""The encoding of a map's file: TIFF tiles with predictor and Deflate, and the pixels of overviews.

Every tile is encoded once, on the worker that computes its pixels; the file is then assembled from compressed bytes. So a tile's
bytes depend on its pixels only: not on the region that a call covers, nor on the order of calls.
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
"""Level of ISA-L's Deflate: a quarter of the time of zlib's first level, and smaller. zlib's sixth makes a map of classes a third
smaller again and takes twenty times as long. The same pixels give the same bytes on processors of one kind."""


@dataclass(frozen=True)
class Encoding:
    """How all pixels of a map's file are encoded."""

    dtype: str
    nodata: float
    bands: int = 1
    classes: bool = False
    """Pixels are classes, not quantities: an overview takes the most frequent of four, not their mean."""
    categorical: bool = False
    """Pixels are flags or classes of any integer dtype, maybe with an alpha band: overviews as with `classes`."""
    blocksize: int = 512
    """Edge of a tile in the file, in pixels; a multiple of 16."""
    alpha: bool = False
    """The last band says where the others are valid, for pixels that may have any value; `nodata` is then only what invalid pixels
    hold."""

    def __post_init__(self) -> None:
        if self.blocksize % 16 or self.blocksize <= 0:
            raise ValueError(f"tiles of a TIFF have a multiple of 16 pixels, not {self.blocksize}")
        if self.classes and (self.dtype != "uint8" or self.bands != 1):
            raise ValueError(f"a map of classes is one band of uint8, not {self.bands} of {self.dtype}")

    def same(self, other: Encoding) -> bool:
        """Whether `other` is the same encoding. Not `==`: a nodata of NaN does not equal itself."""
        return repr(self) == repr(other)

    @property
    def predictor(self) -> int:
        """TIFF's Predictor: 1 none, 2 differences, 3 differences of the bytes of floating point numbers."""
        if self.classes:
            return 1
        return 3 if np.dtype(self.dtype).kind == "f" else 2

    def encode(self, tile: Pixels) -> bytes:
        """The bytes in the file of a tile (bands, height, width) that may be cut at the map's edge: interleaved by pixel, with
        predictor and Deflate, filled up with nodata."""
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
            shuffled = _cumulative(np.frombuffer(raw, np.uint8).reshape(edge, -1), self.bands)
            planes = shuffled.reshape(edge, kind.itemsize, -1).transpose(0, 2, 1)[..., ::-1]
            rows: Pixels = np.ascontiguousarray(planes).view(f"<f{kind.itemsize}").astype(kind, copy=False)
        else:
            rows = np.frombuffer(raw, kind)
            if self.predictor == 2:
                rows = _cumulative(rows.reshape(edge, -1), self.bands)
        return rows.reshape(edge, edge, self.bands).transpose(2, 0, 1)

    @cached_property
    def empty(self) -> bytes:
        """An encoded tile of nodata."""
        return self.encode(np.full((self.bands, self.blocksize, self.blocksize), self.nodata, self.dtype))

    def tiles(self, pixels: Pixels) -> Iterator[bytes]:
        """The encoded tiles of (bands, height, width), row by row."""
        edge = self.blocksize
        for row in range(0, pixels.shape[1], edge):
            for col in range(0, pixels.shape[2], edge):
                yield self.encode(pixels[:, row : row + edge, col : col + edge])

    def downsample(self, pixels: Pixels) -> Pixels:
        """The next overview of pixels (bands, height, width): (bands, (height + 1) // 2, (width + 1) // 2), of the same dtype.

        Each of its pixels covers 2 x 2. For flags and classes it is the most frequent value that is not nodata, of equally frequent
        ones the first in row-major order; for quantities the mean of the values that are not nodata, rounded half to even.
        """
        height, width = pixels.shape[1:]
        if height % 2 or width % 2:
            whole = np.full((len(pixels), height + height % 2, width + width % 2), self.nodata, self.dtype)
            whole[:, :height, :width] = pixels
            pixels = whole
        quarters = [np.ascontiguousarray(pixels[:, row::2, col::2]) for row in (0, 1) for col in (0, 1)]
        if self.classes:
            return self._most_frequent(*quarters)
        return self._most_frequent_valid(quarters) if self.categorical else self._mean(quarters)

    def _most_frequent(self, a: Pixels, b: Pixels, c: Pixels, d: Pixels) -> Pixels:
        # Two equal values outvote the others; only a tie of two pairs needs the row-major order, which these lines keep.
        chosen = np.where(c == d, c, a)
        chosen = np.where((b == c) | (b == d), b, chosen)
        chosen = np.where((a == b) | (a == c) | (a == d), a, chosen)
        nodata = self.nodata
        if any((quarter == nodata).any() for quarter in (a, b, c, d)):
            # Nodata does not count: any other value outvotes it.
            pair = np.where((c == d) & (c != nodata), c, nodata)
            pair = np.where(((b == c) | (b == d)) & (b != nodata), b, pair)
            pair = np.where(((a == b) | (a == c) | (a == d)) & (a != nodata), a, pair)
            for single in (a, b, c, d):
                pair = np.where(pair == nodata, single, pair)
            chosen = pair
        return chosen.astype(self.dtype, copy=False)

    def _most_frequent_valid(self, quarters: list[Pixels]) -> Pixels:
        """As `_most_frequent`, for validity that another band or NaN states."""
        valid = [self.valid(quarter) for quarter in quarters]
        chosen = np.full(quarters[0].shape, self.nodata, self.dtype)
        most = np.zeros(chosen.shape, np.uint8)
        for quarter, here in zip(quarters, valid, strict=True):
            votes = sum(
                ((quarter == other) & there).astype(np.uint8) for other, there in zip(quarters, valid, strict=True)
            )
            better = here & (votes > most)
            chosen[better], most[better] = quarter[better], votes[better]
        return chosen

    def _mean(self, quarters: list[Pixels]) -> Pixels:
        total = np.zeros(quarters[0].shape, np.float64)
        count = np.zeros(quarters[0].shape, np.float64)
        for quarter in quarters:
            valid_pixels = self.valid(quarter)
            total += np.where(valid_pixels, quarter, 0)
            count += valid_pixels
        mean = total / np.maximum(count, 1)
        if np.dtype(self.dtype).kind != "f":
            mean = np.rint(mean)
        return np.where(count > 0, mean, self.nodata).astype(self.dtype)

    def valid(self, pixels: Pixels) -> NDArray[np.bool_]:
        """True where pixels are not nodata; same shape."""
        if self.alpha:
            return np.broadcast_to(pixels[-1:] > 0, pixels.shape)
        valid_pixels: NDArray[np.bool_] = ~np.isnan(pixels) if np.isnan(self.nodata) else pixels != self.nodata
        return valid_pixels


def _differences(rows: Pixels, step: int) -> Pixels:
    """Differences of each value to the one `step` positions before it in its row."""
    result = rows.copy()
    result[:, step:] -= rows[:, :-step]
    return result


def _cumulative(rows: Pixels, step: int) -> Pixels:
    """Undoes `_differences`."""
    each = rows.reshape(len(rows), -1, step)
    total: Pixels = np.add.accumulate(each, axis=1, dtype=rows.dtype)
    return total.reshape(rows.shape)
