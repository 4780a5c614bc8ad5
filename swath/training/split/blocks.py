"""Square blocks of ground on one grid of the whole Earth, each drawn into a split by lot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRAIN, VALIDATION, TEST, BUFFER = 0, 1, 2, 255
"""Which split a pixel is in; BUFFER is in none."""

_EQUATOR_M = 6378137.0
"""Radius of WGS 84 at the equator: the least radius of curvature from west to east."""
_MERIDIAN_M = 6335439.0
"""Radius of curvature from south to north at the equator, the least there is."""


@dataclass(frozen=True)
class LatitudeBlocks:
    """Bands of equal latitude, each cut into a whole number of blocks of about `size_m`: no seam at the antimeridian."""

    size_m: float
    buffer_m: float
    validation: float
    test: float
    seed: int

    @property
    def bands(self) -> int:
        """Bands of latitude from pole to pole."""
        return max(1, round(math.pi * _EQUATOR_M / self.size_m))

    def of(self, longitude: Floats, latitude: Floats) -> NDArray[np.uint8]:
        """The split of each point (degrees), uint8: TRAIN, VALIDATION, TEST, or BUFFER where a point that would be trained on
        is less than `buffer_m` from a block of another split. Points that are nowhere (NaN) are BUFFER."""
        found = np.full(longitude.shape, BUFFER, np.uint8)
        known = np.isfinite(longitude) & np.isfinite(latitude)
        if known.any():
            found[known] = self._of(longitude[known], latitude[known])
        return found

    def _of(self, longitude: Floats, latitude: Floats) -> NDArray[np.uint8]:
        """Of points (n,) that are somewhere."""
        south, north = (self._band(np.array([latitude.min() - 1.0, latitude.max() + 1.0]))).tolist()
        rows = _Rows(south, *self._rows(np.arange(south, north + 1)))
        up = math.degrees(self.buffer_m / _MERIDIAN_M)
        band = self._band(latitude)
        column, inside = rows.column(band, longitude)
        found = self._drawn(band, column)
        if not self.buffer_m:
            return found
        # Few points are so near to the edge of their block that others have to be looked at.
        height = (latitude + 90.0) / 180.0 * self.bands - band
        room, aside = up / 180.0 * self.bands, rows.aside[band - south]
        near = (height < room) | (height > 1 - room) | (inside < aside) | (inside > 1 - aside)
        edge = np.flatnonzero((found == TRAIN) & near)
        found[edge[~self._clear(longitude[edge], latitude[edge], up, rows)]] = BUFFER
        return found

    def _clear(self, longitude: Floats, latitude: Floats, up: float, rows: _Rows) -> NDArray[np.bool_]:
        """Whether all blocks within the buffer are trained on: all that the box of degrees around that circle touches."""
        own = self._band(latitude) - rows.first
        aside = rows.aside[own] * 360.0 / rows.columns[own]
        clear = np.ones(latitude.shape, bool)
        for north in (-up, 0.0, up):
            band = self._band(latitude + north)
            clear &= (
                aside <= 360.0 / rows.columns[band - rows.first]
            )  # else the box goes over more blocks than are looked at
            for east in (-aside, 0.0, aside):
                clear &= self._drawn(band, rows.column(band, longitude + east)[0]) == TRAIN
        return clear

    def _band(self, latitude: Floats) -> NDArray[np.int64]:
        band: NDArray[np.int64] = np.floor((latitude + 90.0) / 180.0 * self.bands).astype(np.int64)
        return np.clip(band, 0, self.bands - 1)

    def _rows(self, band: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
        """Of each band: how many blocks it has, and how far the buffer reaches to either side, in parts of a block."""
        middle = np.radians((band + 0.5) / self.bands * 180.0 - 90.0)
        columns = np.maximum(np.rint(2 * self.bands * np.cos(middle)), 1).astype(np.int64)
        edge = np.abs(middle) + math.pi / self.bands / 2 + self.buffer_m / _MERIDIAN_M
        # How far a circle reaches from west to east, by the right-angled triangle of the pole, its centre and its eastmost point.
        sine = math.sin(self.buffer_m / _EQUATOR_M) / np.maximum(np.cos(np.minimum(edge, math.pi / 2)), 1e-12)
        aside = np.where(edge >= math.pi / 2, 2 * math.pi, np.arcsin(np.minimum(sine, 1.0)))
        return columns, aside / (2 * math.pi) * columns

    def _drawn(self, band: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The lot of each block: a hash of the seed and its place."""
        seed = np.full(band.shape, self.seed % 2**64, np.uint64)
        drawn = _mixed(_mixed(_mixed(seed) ^ band.astype(np.uint64)) ^ column.astype(np.uint64))
        share = (drawn >> np.uint64(11)) * 2.0**-53
        found = np.full(band.shape, TRAIN, np.uint8)
        found[share < self.validation + self.test] = TEST
        found[share < self.validation] = VALIDATION
        return found


@dataclass(frozen=True)
class _Rows:
    """What is the same for all points of a band, for bands from `first` on."""

    first: int
    columns: NDArray[np.int64]
    aside: Floats

    def column(self, band: NDArray[np.int64], longitude: Floats) -> tuple[NDArray[np.int64], Floats]:
        """The block of each point, and where in it the point is from west to east, 0..1."""
        columns = self.columns[band - self.first]
        position = (longitude / 360.0 + 0.5) * columns
        whole = np.floor(position)
        return whole.astype(np.int64) % columns, position - whole


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The SplitMix64 generator's next number of each state."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
