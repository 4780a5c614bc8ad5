"""Assembles the bytes of a map's file from the encoded parts of its regions, in order, without holding all of them in memory."""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from swath.errors import TaskFailed
from swath.geo import Block, Blocks, Window
from swath.maps.cog.encoded_part import EncodedPart, count_levels
from swath.maps.cog.encoding import Encoding
from swath.maps.cog.tiff_header import TILE_LEADER, Level, Tag, build_header, level_shapes
from swath.storage.durable_write import writing

Encoded = bytes | memoryview
"""Bytes of an encoded tile, or of another piece of the file."""


class Assembly:
    """A first pass over the parts finds sizes and places of tiles and sums up the pixels; `chunks` is the second. A context manager.

    `parts` are sorted by index, and are iterated twice; regions without a part are nodata. Overviews are spooled to an unnamed
    temporary file (a third of the map's bytes). In memory are a row of encoded regions, and a row of tiles of each overview that is
    computed here.
    """

    def __init__(self, parts: Sequence[EncodedPart], blocks: Blocks, encoding: Encoding, folder: Path) -> None:
        """`folder` is for the temporary file. Raises TaskFailed when it is full, or when a part does not belong to the map."""
        self.encoding = encoding
        self.found = array("q")
        """Indices of the regions that have a part. An array: int objects between parts would keep their memory from being freed."""
        self.valid = 0
        self.counts: dict[int, int] = {}
        """Pixels of each class value."""
        self._parts = parts
        self._blocks = blocks
        self._lattice = Blocks(blocks.image, blocks.output, blocks.size, 0, 1)
        edge = encoding.blocksize
        self._shapes = level_shapes(*blocks.output.shape, edge)
        self._tiles = [(-(-height // edge), -(-width // edge)) for height, width in self._shapes]
        self._own_levels = count_levels(blocks.size, edge, len(self._shapes))
        """Levels whose tiles come with the parts; those above are computed here."""
        self._sizes = [np.full(shape, len(encoding.empty), np.uint64) for shape in self._tiles]
        self._offsets = [np.full(shape, -1, np.int64) for shape in self._tiles]
        """Offsets of the tiles of overviews in the spool; -1 for a tile of nodata only."""
        self._sums: list[tuple[tuple[float, ...], ...]] = []
        self._spool: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        try:
            with writing(folder / "overviews"):
                self._scan()
        except BaseException:
            self._spool.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    # --- first pass

    def _scan(self) -> None:
        above = [_Overview(self, level) for level in range(self._own_levels, len(self._shapes))]
        for row, parts in self._rows_of_parts():
            top = self._lattice[row * self._lattice.lattice[1]].window
            reduced = self._blank(top.height) if above else None
            for part in parts:
                self._check(part)
                self._record(part)
                if reduced is not None:
                    reduced_part = self.encoding.downsample(part.pixels(self._own_levels - 1))
                    col = (part.window.col - self._blocks.output.col) >> self._own_levels
                    reduced[:, :, col : col + reduced_part.shape[2]] = reduced_part
            for overview in above:
                reduced = overview.add(reduced)
        last = None
        for overview in above:
            last = overview.end(last)

    def _rows_of_parts(self) -> Iterator[tuple[int, Iterator[EncodedPart]]]:
        """Each row of regions from the top down: (number, its parts)."""
        count, columns = self._lattice.lattice
        present = iter(groupby(self._parts, lambda part: part.index // columns))
        number, parts = next(present, (count, iter(())))
        for row in range(count):
            if number <= row:  # a number before the row is a part out of order, which _check refuses
                yield row, parts
                number, parts = next(present, (count, iter(())))
            else:
                yield row, iter(())
        if number < count:
            yield number, parts

    def _blank(self, height: int) -> NDArray[Any]:
        """Nodata for a row of regions in the first level that is computed here."""
        encoding, scale = self.encoding, 1 << self._own_levels
        return np.full(
            (encoding.bands, -(-height // scale), self._shapes[self._own_levels][1]), encoding.nodata, encoding.dtype
        )

    def _record(self, part: EncodedPart) -> None:
        self.found.append(part.index)
        self.valid += part.valid
        self._sums += part.sums
        for value, count in part.counts:
            self.counts[value] = self.counts.get(value, 0) + count
        for level in range(self._own_levels):
            tiles = self._tile_slices(part.window, level)
            self._sizes[level][tiles] = np.reshape(part.sizes[level], self._sizes[level][tiles].shape)
            if level:
                self.spool(level, tiles, part.level(level))

    def _check(self, part: EncodedPart) -> None:
        index = part.index
        if not 0 <= index < len(self._lattice) or self._lattice[index].window != part.window:
            raise TaskFailed(f"a part says that it is region {index} at {part.window}, but the map has no such region")
        if self.found and index <= self.found[-1]:
            reason = "was given twice" if index in self.found else f"came after region {self.found[-1]}"
            raise TaskFailed(f"region {index} {reason}")
        if not part.encoding.same(self.encoding):
            raise TaskFailed(f"region {index} is encoded as {part.encoding}, the map as {self.encoding}")

    def _tile_slices(self, window: Window, level: int) -> tuple[slice, slice]:
        """Slices (rows, columns) of the tiles of a level that a region covers."""
        size = self.encoding.blocksize << level
        row, col = (window.row - self._blocks.output.row) // size, (window.col - self._blocks.output.col) // size
        return slice(row, row - (-window.height // size)), slice(col, col - (-window.width // size))

    def spool(self, level: int, tiles: tuple[slice, slice], encoded: Sequence[Encoded]) -> None:
        """Spool encoded tiles of an overview, row by row, until the file is written."""
        shape = self._sizes[level][tiles].shape
        sizes = np.array([len(tile) for tile in encoded], np.int64)
        self._sizes[level][tiles] = np.reshape(sizes, shape)
        self._offsets[level][tiles] = np.reshape(self._spool.tell() + np.cumsum(sizes) - sizes, shape)
        self._spool.writelines(encoded)

    # --- results and second pass

    def missing(self) -> tuple[int, ...]:
        """Indices of wanted regions that have no part."""
        found = set(self.found)
        return tuple(block.index for block in self._blocks if block.index not in found)

    @property
    def overviews(self) -> int:
        """How many overviews the file has."""
        return len(self._shapes) - 1

    def statistics(self) -> tuple[dict[str, float], ...]:
        """minimum, maximum, mean, stddev, valid_percent of each band; only the last for a band of nodata.

        The sums are rounded once, at the end, so they do not depend on the order of the parts.
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

    def chunks(self, tags: Sequence[Tag]) -> Iterator[Encoded]:
        """The bytes of the file in order. `tags` are the map's tags as GDAL wrote them (see swath.maps.cog.tiff_header)."""
        edge = self.encoding.blocksize
        levels = [Level(*shape, sizes.ravel()) for shape, sizes in zip(self._shapes, self._sizes, strict=True)]
        yield build_header(tags, levels, edge, self.encoding.predictor)
        for number in reversed(range(len(levels))):
            for tile in self._overview_tiles(number) if number else self._full_tiles():
                yield TILE_LEADER.pack(len(tile))
                yield tile
                yield tile[-4:]

    def _overview_tiles(self, level: int) -> Iterator[bytes]:
        """The tiles of an overview, row by row."""
        for offset, size in zip(self._offsets[level].flat, self._sizes[level].flat, strict=True):
            if offset < 0:
                yield self.encoding.empty
            else:
                self._spool.seek(int(offset))
                yield self._spool.read(int(size))

    def _full_tiles(self) -> Iterator[Encoded]:
        """The tiles of the full resolution, row by row."""
        columns = self._lattice.lattice[1]
        for row, parts in self._rows_of_parts():
            present = {part.index % columns: part.level(0) for part in parts}
            yield from self._row_tiles([self._lattice[row * columns + column] for column in range(columns)], present)
            present.clear()  # before the next row is loaded

    def _row_tiles(self, regions: Sequence[Block], present: dict[int, list[memoryview]]) -> Iterator[Encoded]:
        """The tiles of one row of regions."""
        edge = self.encoding.blocksize
        for tile_row in range(-(-regions[0].window.height // edge)):
            for column, region in enumerate(regions):
                width = -(-region.window.width // edge)
                tiles = present.get(column)
                for tile in range(tile_row * width, (tile_row + 1) * width):
                    yield tiles[tile] if tiles is not None else self.encoding.empty


class _Overview:
    """One overview that is computed here, from the top down: takes rows, encodes them, and returns the rows of the next overview."""

    def __init__(self, assembly: Assembly, level: int) -> None:
        self._assembly = assembly
        self._level = level
        self._pending: list[NDArray[Any]] = []
        self._tile_row = 0

    def add(self, rows: NDArray[Any] | None) -> NDArray[Any] | None:
        """Add rows of this overview; returns rows of the next one, or None."""
        if rows is None:
            return None
        self._pending.append(rows)
        edge = self._assembly.encoding.blocksize
        height = sum(each.shape[1] for each in self._pending)
        if height < edge:
            return None
        whole = np.concatenate(self._pending, axis=1)
        ready = height // edge * edge
        self._pending = [whole[:, ready:]] if ready < height else []
        return self._encode(whole[:, :ready])

    def end(self, rows: NDArray[Any] | None) -> NDArray[Any] | None:
        """Add the last rows; returns the last rows of the next overview, or None."""
        more = [] if rows is None else [rows]
        if not self._pending and not more:
            return None
        return self._encode(np.concatenate([*self._pending, *more], axis=1))

    def _encode(self, rows: NDArray[Any]) -> NDArray[Any]:
        encoding = self._assembly.encoding
        for start in range(0, rows.shape[1], encoding.blocksize):
            tiles = list(encoding.tiles(rows[:, start : start + encoding.blocksize]))
            self._assembly.spool(self._level, (slice(self._tile_row, self._tile_row + 1), slice(None)), tiles)
            self._tile_row += 1
        return encoding.downsample(rows)


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
