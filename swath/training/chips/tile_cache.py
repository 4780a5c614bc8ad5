"""TileCache: decoded tiles of a plan's images, with labels and splits, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.engine.fingerprint import fingerprint
from swath.geo import Window
from swath.imagery.labels.labels import read_labels
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.reading.window import Pixels
from swath.spec.fields.labels import IGNORE_INDEX
from swath.training.chips.chip_plan import ChipPlan
from swath.training.split.split import TRAIN

TILE_EDGE = 512
"""In pixels: the usual block of a COG, so that no block is decoded for two tiles. A multiple of CELL_EDGE."""
INVALID = 254
"""Beside the numbers of splits: there is no valid pixel."""


@dataclass(frozen=True)
class _Tile:
    pixels: Pixels
    """(bands, height, width), in the dtype of the files."""
    labels: NDArray[np.uint8]
    splits: NDArray[np.uint8]
    """Split of each pixel, BUFFER, or INVALID."""

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + self.labels.nbytes + self.splits.nbytes


class TileCache:
    """Least recently used tiles are dropped first. Threads may share it; a pickled copy begins empty."""

    def __init__(self, plan: ChipPlan, max_bytes: int) -> None:
        self._plan, self._max_bytes = plan, max_bytes
        self._clear()

    def _clear(self) -> None:
        self._tiles: OrderedDict[tuple[int, int, int], _Tile] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"_plan": self._plan, "_max_bytes": self._max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._clear()

    def read(
        self, image: int, window: Window, pixels: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Labels and splits (height, width) of a window, INVALID beyond the image's edge. Its pixels are written into `pixels`
        (bands, height, width), which has to be 0."""
        labels = np.full(window.shape, IGNORE_INDEX, np.uint8)
        splits = np.full(window.shape, INVALID, np.uint8)
        for tile, in_window, in_tile in self._intersecting(image, window):
            pixels[:, *in_window] = tile.pixels[:, *in_tile]
            labels[in_window], splits[in_window] = tile.labels[in_tile], tile.splits[in_tile]
        return labels, splits

    def training_labels(self, image: int, window: Window) -> NDArray[np.uint8]:
        """Labels of the training pixels of a window (height, width); IGNORE_INDEX elsewhere."""
        labels = np.full(window.shape, IGNORE_INDEX, np.uint8)
        for tile, in_window, in_tile in self._intersecting(image, window):
            trained = tile.splits[in_tile] == TRAIN
            labels[in_window] = np.where(trained, tile.labels[in_tile], np.uint8(IGNORE_INDEX))
        return labels

    def _intersecting(
        self, image: int, window: Window
    ) -> Iterator[tuple[_Tile, tuple[slice, slice], tuple[slice, slice]]]:
        """Each tile that shares pixels with a window, with the slices of those in the window and in the tile."""
        height, width = self._plan.images[image].scenes.image.shape
        inside = window.intersection(Window(0, 0, height, width))
        if inside is None:
            return
        for row in range(inside.row // TILE_EDGE * TILE_EDGE, inside.stop_row, TILE_EDGE):
            for col in range(inside.col // TILE_EDGE * TILE_EDGE, inside.stop_col, TILE_EDGE):
                tile = Window(row, col, min(TILE_EDGE, height - row), min(TILE_EDGE, width - col))
                shared = tile.intersection(inside)
                if shared is not None:
                    yield self._tile(image, tile), shared.within(window), shared.within(tile)

    def _tile(self, image: int, window: Window) -> _Tile:
        key = (image, window.row, window.col)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        tile = self._decode(image, window)
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._bytes += tile.nbytes
            while self._bytes > self._max_bytes and len(self._tiles) > 1:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile

    def _decode(self, image: int, window: Window) -> _Tile:
        labelled = self._plan.images[image]
        pixels, valid = read_mosaic(labelled.scenes, window, reflectance=self._plan.reflectance)
        splits = self._plan.split.of_scenes(labelled.scenes, window)
        splits[~valid] = INVALID
        return _Tile(pixels, read_labels(labelled.labels, window), splits)


_LATEST: dict[tuple[str, int], TileCache] = {}
"""The cache of the plan that was used last; at most one entry."""
_LATEST_LOCK = threading.Lock()


def shared_cache(plan: ChipPlan, max_bytes: int) -> TileCache:
    """The cache of a plan, shared with later trainings on an equal plan in this process: the variants of a matrix decode once."""
    key = (fingerprint(plan), max_bytes)
    with _LATEST_LOCK:
        if key not in _LATEST:
            _LATEST.clear()
            _LATEST[key] = TileCache(plan, max_bytes)
        return _LATEST[key]
