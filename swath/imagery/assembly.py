"""Assembly: the bytes of a map's file from the parts of its calls, in order, without ever having all of them in memory."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from swath.errors import TaskFailed
from swath.geo import Block, Blocks, Window
from swath.imagery.encoding import Encoding
from swath.imagery.part import Part, levels_of
from swath.imagery.tiff import LEADER, Level, Tag, header, level_shapes


class Assembly:
    """Looks through the parts once: what belongs where, how large it is, what the pixels sum up to. A context manager.

    `parts` come in the order of their index, and can be gone through twice; regions without a part are nodata. Overviews
    wait in a file without a name (a third of the map's bytes); of the map itself a row of regions is in memory at a time.
    """

    def __init__(self, parts: Sequence[Part], blocks: Blocks, encoding: Encoding) -> None:
        """Raises TaskFailed when a part does not belong to the map."""
        self.encoding = encoding
        self.found: list[int] = []
        """Indices of the regions that are there."""
        self.valid = 0
        self.counts: dict[int, int] = {}
        """Pixels of each class value."""
        self._parts = parts
        self._blocks = blocks
        self._lattice = Blocks(blocks.image, blocks.output, blocks.size, 0, 1)
        edge = encoding.blocksize
        self._shapes = level_shapes(*blocks.output.shape, edge)
        self._tiles = [(-(-height // edge), -(-width // edge)) for height, width in self._shapes]
        self._own = levels_of(blocks.size, edge, len(self._shapes))
        """Levels whose tiles come with the parts; those above are made here."""
        self._sizes = [np.full(shape, len(encoding.empty), np.uint64) for shape in self._tiles]
        self._places = [np.full(shape, -1, np.int64) for shape in self._tiles]
        """Of the tiles of overviews that came with the parts, in the spool."""
        self._top: list[list[bytes]] = []
        """Tiles of the levels that are made here."""
        self._sums: list[tuple[tuple[float, ...], ...]] = []
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        try:
            self._look_through()
        except BaseException:
            self._spool.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    # --- the first time through

    def _look_through(self) -> None:
        encoding, own = self.encoding, self._own
        above = None
        if own < len(self._shapes):
            above = np.full((encoding.bands, *self._shapes[own]), encoding.nodata, encoding.dtype)
        for part in self._parts:
            self._check(part)
            self.found.append(part.index)
            self.valid += part.valid
            self._sums += part.sums
            for value, count in part.counts:
                self.counts[value] = self.counts.get(value, 0) + count
            for level in range(own):
                tiles = self._tiles_of(part.window, level)
                self._sizes[level][tiles] = np.reshape(part.sizes[level], self._sizes[level][tiles].shape)
                if level:
                    self._keep(part, level, tiles)
            if above is not None:
                small = encoding.folded(part.pixels(own - 1))
                at = part.window
                row, col = (at.row - self._blocks.output.row) >> own, (at.col - self._blocks.output.col) >> own
                above[:, row : row + small.shape[1], col : col + small.shape[2]] = small
        for level in range(own, len(self._shapes)):
            if level > own:
                above = encoding.folded(above)  # type: ignore[arg-type]  # there when a level is above
            self._top.append(list(encoding.tiles(above)))  # type: ignore[arg-type]
            self._sizes[level] = np.reshape(list(map(len, self._top[-1])), self._tiles[level]).astype(np.uint64)

    def _check(self, part: Part) -> None:
        index = part.index
        if not 0 <= index < len(self._lattice) or self._lattice[index].window != part.window:
            raise TaskFailed(f"a part says that it is region {index} at {part.window}, but the map has no such region")
        if self.found and index <= self.found[-1]:
            again = "was given twice" if index in self.found else f"came after region {self.found[-1]}"
            raise TaskFailed(f"region {index} {again}")
        if part.encoding != self.encoding:
            raise TaskFailed(f"region {index} is encoded as {part.encoding}, the map as {self.encoding}")

    def _tiles_of(self, window: Window, level: int) -> tuple[slice, slice]:
        """Rows and columns of the tiles of a level that a region covers."""
        size = self.encoding.blocksize << level
        row, col = (window.row - self._blocks.output.row) // size, (window.col - self._blocks.output.col) // size
        return slice(row, row - (-window.height // size)), slice(col, col - (-window.width // size))

    def _keep(self, part: Part, level: int, tiles: tuple[slice, slice]) -> None:
        start = self._spool.tell()
        self._spool.writelines(part.level(level))
        sizes = np.array(part.sizes[level], np.int64)
        self._places[level][tiles] = np.reshape(start + np.cumsum(sizes) - sizes, self._places[level][tiles].shape)

    # --- what came of it

    def missing(self) -> tuple[int, ...]:
        """Regions that are wanted and have no part."""
        found = set(self.found)
        return tuple(block.index for block in self._blocks if block.index not in found)

    @property
    def overviews(self) -> int:
        """How many there are."""
        return len(self._shapes) - 1

    def statistics(self) -> tuple[dict[str, float], ...]:
        """minimum, maximum, mean, stddev, valid_percent of each band; the last alone for a band of nothing but nodata.

        The sums are rounded once, at the end, so they do not depend on the order in which they came.
        """
        total = self._shapes[0][0] * self._shapes[0][1]
        if self.encoding.classes:
            values = np.array(sorted(self.counts), np.float64)
            counts = np.array([self.counts[int(value)] for value in values], np.float64)
            bands: list[list[tuple[float, ...]]]
            bands = [list(zip(counts, values, values, counts * values, counts * values**2, strict=True))]
        else:
            bands = [[tile[band] for tile in self._sums if tile[band][0]] for band in range(self.encoding.bands)]
        return tuple(_statistics(sums, total) for sums in bands)

    def chunks(self, own: Sequence[Tag]) -> Iterator[bytes]:
        """The file's bytes in order. `own` are the map's tags as GDAL wrote them (see swath.imagery.tiff)."""
        edge = self.encoding.blocksize
        levels = [Level(*shape, sizes.ravel()) for shape, sizes in zip(self._shapes, self._sizes, strict=True)]
        yield header(own, levels, edge, self.encoding.predictor)
        for number in reversed(range(len(levels))):
            for tile in self._level(number):
                yield LEADER.pack(len(tile))
                yield tile
                yield tile[-4:]

    def _level(self, level: int) -> Iterable[bytes]:
        """The tiles of a level, row by row."""
        if level >= self._own:
            return self._top[level - self._own]
        return self._overview(level) if level else self._main()

    def _overview(self, level: int) -> Iterator[bytes]:
        for place, size in zip(self._places[level].flat, self._sizes[level].flat, strict=True):
            if place < 0:
                yield self.encoding.empty
            else:
                self._spool.seek(int(place))
                yield self._spool.read(int(size))

    def _main(self) -> Iterator[bytes]:
        columns = self._lattice.lattice[1]
        rows = iter(groupby(self._parts, lambda part: part.index // columns))
        number, group = next(rows, (-1, iter(())))
        for row in range(self._lattice.lattice[0]):
            there: dict[int, list[bytes]] = {}
            if number == row:
                there = {part.index % columns: part.level(0) for part in group}
                number, group = next(rows, (-1, iter(())))
            regions = [self._lattice[row * columns + column] for column in range(columns)]
            yield from self._row(regions, there)

    def _row(self, regions: Sequence[Block], there: dict[int, list[bytes]]) -> Iterator[bytes]:
        """The tiles of one row of regions."""
        edge = self.encoding.blocksize
        for tile_row in range(-(-regions[0].window.height // edge)):
            for column, region in enumerate(regions):
                width = -(-region.window.width // edge)
                tiles = there.get(column)
                for tile in range(tile_row * width, (tile_row + 1) * width):
                    yield tiles[tile] if tiles is not None else self.encoding.empty


def _statistics(sums: Iterable[Sequence[Any]], total: int) -> dict[str, float]:
    """From (count, minimum, maximum, sum, sum of squares) of several groups of pixels, and the number of all pixels."""
    columns: list[NDArray[np.float64]] = [np.array(column, np.float64) for column in zip(*sums, strict=True)]
    if not columns:
        return {"valid_percent": 0.0}
    counts, lowest, highest, added, squares = columns
    count = math.fsum(counts)
    mean = math.fsum(added) / count
    return {
        "minimum": float(lowest.min()),
        "maximum": float(highest.max()),
        "mean": mean,
        "stddev": math.sqrt(max(0.0, math.fsum(squares) / count - mean * mean)),
        "valid_percent": 100 * count / total,
    }
