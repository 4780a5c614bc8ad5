"""LatitudeBlocks: square blocks on one grid of the whole Earth, each put into a split at random by a hash of its place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRAIN, VALIDATION, TEST, BUFFER = 0, 1, 2, 255
"""Numbers of the splits; a pixel of BUFFER is in none."""

_EQUATOR_M = 6378137.0
"""Radius of WGS 84 at the equator: the least radius of curvature from west to east."""
_MERIDIAN_M = 6335439.0
"""Radius of curvature from south to north at the equator, the least there is."""


@dataclass(frozen=True)
class LatitudeBlocks:
    """Bands of equal latitude, each cut into a whole number of blocks of about `size_m`, so that none is cut at the antimeridian."""

    size_m: float
    buffer_m: float
    validation: float
    test: float
    seed: int

    @property
    def bands(self) -> int:
        """Number of bands from pole to pole."""
        return max(1, round(math.pi * _EQUATOR_M / self.size_m))

    def of(self, longitude: Floats, latitude: Floats) -> NDArray[np.uint8]:
        """The split of each point (degrees), uint8: TRAIN, VALIDATION, TEST, or BUFFER where a training point is less than
        `buffer_m` from a block of another split. Points without a place (NaN) are BUFFER."""
        splits = np.full(longitude.shape, BUFFER, np.uint8)
        known = np.isfinite(longitude) & np.isfinite(latitude)
        if known.any():
            splits[known] = self._of(longitude[known], latitude[known])
        return splits

    def _of(self, longitude: Floats, latitude: Floats) -> NDArray[np.uint8]:
        """Of finite points (n,)."""
        south, north = self._band(np.array([latitude.min() - 1.0, latitude.max() + 1.0])).tolist()
        table = _BandTable(south, *self._columns(np.arange(south, north + 1)))
        buffer_degrees = math.degrees(self.buffer_m / _MERIDIAN_M)
        band = self._band(latitude)
        column, across = table.column(band, longitude)
        splits = self._split(band, column)
        if not self.buffer_m:
            return splits
        # Only the few points near the edge of their block can have another split within the buffer.
        up = (latitude + 90.0) / 180.0 * self.bands - band
        buffer_up, buffer_across = buffer_degrees / 180.0 * self.bands, table.buffer[band - south]
        near = (up < buffer_up) | (up > 1 - buffer_up) | (across < buffer_across) | (across > 1 - buffer_across)
        edge = np.flatnonzero((splits == TRAIN) & near)
        splits[edge[~self._surrounded(longitude[edge], latitude[edge], buffer_degrees, table)]] = BUFFER
        return splits

    def _surrounded(
        self, longitude: Floats, latitude: Floats, buffer_degrees: float, table: _BandTable
    ) -> NDArray[np.bool_]:
        """Whether all blocks within the buffer are of TRAIN: all that the box of degrees around the buffer's circle touches."""
        own = self._band(latitude) - table.first
        buffer_east = table.buffer[own] * 360.0 / table.columns[own]
        surrounded = np.ones(latitude.shape, bool)
        for north in (-buffer_degrees, 0.0, buffer_degrees):
            band = self._band(latitude + north)
            # A wider box would touch more than the three blocks that are compared.
            surrounded &= buffer_east <= 360.0 / table.columns[band - table.first]
            for east in (-buffer_east, 0.0, buffer_east):
                surrounded &= self._split(band, table.column(band, longitude + east)[0]) == TRAIN
        return surrounded

    def _band(self, latitude: Floats) -> NDArray[np.int64]:
        band: NDArray[np.int64] = np.floor((latitude + 90.0) / 180.0 * self.bands).astype(np.int64)
        return np.clip(band, 0, self.bands - 1)

    def _columns(self, band: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """Of each band: its number of blocks, and the buffer's reach from west to east as a fraction of a block."""
        middle = np.radians((band + 0.5) / self.bands * 180.0 - 90.0)
        columns = np.maximum(np.rint(2 * self.bands * np.cos(middle)), 1).astype(np.int64)
        edge = np.abs(middle) + math.pi / self.bands / 2 + self.buffer_m / _MERIDIAN_M
        # The reach of a circle from west to east, by the right-angled triangle of the pole, its centre and its easternmost point.
        sine = math.sin(self.buffer_m / _EQUATOR_M) / np.maximum(np.cos(np.minimum(edge, math.pi / 2)), 1e-12)
        reach = np.where(edge >= math.pi / 2, 2 * math.pi, np.arcsin(np.minimum(sine, 1.0)))
        return columns, reach / (2 * math.pi) * columns

    def _split(self, band: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The split of each block: a hash of the seed and its place, compared with the shares."""
        seed = np.full(band.shape, self.seed % 2**64, np.uint64)
        hashed = _splitmix(_splitmix(_splitmix(seed) ^ band.astype(np.uint64)) ^ column.astype(np.uint64))
        uniform = (hashed >> np.uint64(11)) * 2.0**-53
        splits = np.full(band.shape, TRAIN, np.uint8)
        splits[uniform < self.validation + self.test] = TEST
        splits[uniform < self.validation] = VALIDATION
        return splits


@dataclass(frozen=True)
class _BandTable:
    """Numbers of each band, from the band `first` on."""

    first: int
    columns: NDArray[np.int64]
    """Blocks of the band."""
    buffer: Floats
    """Reach of the buffer from west to east, as a fraction of a block."""

    def column(self, band: NDArray[np.int64], longitude: Floats) -> tuple[NDArray[np.int64], Floats]:
        """The block of each point, and the point's position in it from west to east, 0 to 1."""
        columns = self.columns[band - self.first]
        position = (longitude / 360.0 + 0.5) * columns
        whole = np.floor(position)
        return whole.astype(np.int64) % columns, position - whole


def _splitmix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The SplitMix64 generator's next number of each state."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
