"""Encoded parts: the tiles of one region as they will stand in the map's file, with overviews and statistics."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from swath.geo import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swath.maps.cog.encoding import Encoding


@dataclass(frozen=True)
class EncodedPart:
    """The pixels of one region, encoded as they will stand in the file, with nodata in place."""

    index: int
    """Index of the region."""
    window: Window
    """In pixels of the image grid. Starts at a whole number of tiles from the map's corner."""
    encoding: Encoding
    sizes: tuple[tuple[int, ...], ...]
    """Bytes of each tile, row by row: of the full resolution, then of each overview whose tiles lie inside of the region."""
    data: bytes
    """The tiles in that order, one after the other."""
    valid: int
    """Pixels that are not nodata in at least one band."""
    counts: tuple[tuple[int, int], ...] = ()
    """Of a map of classes: (value, pixels) of each value that occurs, without nodata."""
    sums: tuple[tuple[tuple[float, ...], ...], ...] = ()
    """Of a map of values, per tile and band: (valid pixels, minimum, maximum, sum, sum of squares)."""

    def tile(self, level: int, number: int) -> bytes:
        """An encoded tile by its position among those of a level, row by row."""
        before = sum(map(sum, self.sizes[:level])) + sum(self.sizes[level][:number])
        return self.data[before : before + self.sizes[level][number]]

    def level(self, level: int) -> list[memoryview]:
        """All encoded tiles of a level, row by row, as views of the part's bytes."""
        start = sum(map(sum, self.sizes[:level]))
        ends = list(accumulate(self.sizes[level], initial=start))
        data = memoryview(self.data)
        return [data[one:other] for one, other in pairwise(ends)]

    def pixels(self, level: int = 0) -> NDArray[Any]:
        """Decoded pixels (bands, height, width) of the full resolution, or of an overview, in the encoding's dtype."""
        import numpy as np

        height, width = -(-self.window.height // (1 << level)), -(-self.window.width // (1 << level))
        edge = self.encoding.blocksize
        columns = -(-width // edge)
        whole = np.empty((self.encoding.bands, height, width), self.encoding.dtype)
        for number, tile in enumerate(self.level(level)):
            row, col = number // columns * edge, number % columns * edge
            target = whole[:, row : row + edge, col : col + edge]
            target[:] = self.encoding.decode(tile)[:, : target.shape[1], : target.shape[2]]
        return whole

    def read(self, window: Window) -> NDArray[Any]:
        """Decoded pixels (bands, height, width) of a window of the image grid that lies inside of the region."""
        import numpy as np

        edge = self.encoding.blocksize
        columns = -(-self.window.width // edge)
        rows, cols = window.within(self.window)
        above, left = rows.start // edge, cols.start // edge
        below, right = -(-rows.stop // edge), -(-cols.stop // edge)
        bands = [
            [self.encoding.decode(self.tile(0, row * columns + col)) for col in range(left, right)]
            for row in range(above, below)
        ]
        whole: NDArray[Any] = np.block(bands)
        return whole[
            :, rows.start - above * edge : rows.stop - above * edge, cols.start - left * edge : cols.stop - left * edge
        ]


class PartBuilder:
    """Builds an EncodedPart from strips of a region, from the top down. Holds a quarter of the region's pixels, for overviews."""

    def __init__(self, index: int, window: Window, encoding: Encoding, levels: int) -> None:
        """`levels`: resolutions to encode, the full one included (see `count_levels`)."""
        self._index = index
        self._window = window
        self._encoding = encoding
        self._levels = levels
        self._tiles: list[bytes] = []
        self._half: list[NDArray[Any]] = []
        self._rows = 0
        self._valid = 0
        self._counts: dict[int, int] = {}
        self._sums: list[tuple[tuple[float, ...], ...]] = []

    def add(self, pixels: NDArray[Any]) -> None:
        """Add the next strip: (bands, height, width of the region) in the encoding's dtype, with nodata in place. The height of all
        but the last is a multiple of the tile's. Raises ValueError for another shape or dtype."""
        encoding, edge = self._encoding, self._encoding.blocksize
        expected = (encoding.bands, pixels.shape[1], self._window.width)
        if pixels.shape != expected or str(pixels.dtype) != encoding.dtype:
            raise ValueError(
                f"pixels {pixels.shape} of {pixels.dtype} are no strip {expected} of {encoding.dtype} of {self._window}"
            )
        self._rows += pixels.shape[1]
        for row in range(0, pixels.shape[1], edge):
            for col in range(0, pixels.shape[2], edge):
                tile = pixels[:, row : row + edge, col : col + edge]
                self._tiles.append(encoding.encode(tile))
                if not encoding.classes:
                    self._add_sums(tile)
        if encoding.classes:
            self._add_counts(pixels)
        if self._levels > 1:
            self._half.append(encoding.downsample(pixels))

    def _add_counts(self, pixels: NDArray[Any]) -> None:
        import numpy as np

        found = {value: int(np.count_nonzero(pixels == value)) for value in self._counts}
        if sum(found.values()) != pixels.size:  # a value that did not occur before; comparing alone is much quicker
            counts = np.bincount(pixels.ravel(), minlength=256)
            found = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        for value, count in found.items():
            self._counts[value] = self._counts.get(value, 0) + count

    def _add_sums(self, tile: NDArray[Any]) -> None:
        import numpy as np

        valid = self._encoding.valid(tile)
        self._valid += int(valid.any(axis=0).sum())
        bands = []
        for band, valid_pixels in zip(tile, valid, strict=True):
            values = band[valid_pixels].astype(np.float64)
            if values.size:
                bands.append((float(values.size), float(values.min()), float(values.max()), float(values.sum()),
                              float((values * values).sum())))  # fmt: skip
            else:
                bands.append((0.0, 0.0, 0.0, 0.0, 0.0))
        self._sums.append(tuple(bands))

    def part(self) -> EncodedPart:
        """The finished part. Raises ValueError when strips are missing."""
        import numpy as np

        if self._rows != self._window.height:
            raise ValueError(f"{self._rows} rows were added to a region of {self._window.height}")
        encoding = self._encoding
        tiles, sizes = list(self._tiles), [tuple(map(len, self._tiles))]
        half = np.concatenate(self._half, axis=1) if self._half else None
        for level in range(1, self._levels):
            if level > 1:
                half = encoding.downsample(half)  # type: ignore[arg-type]  # there from the first level on
            more = list(encoding.tiles(half))  # type: ignore[arg-type]
            tiles += more
            sizes.append(tuple(map(len, more)))
        counts = {value: count for value, count in self._counts.items() if value != encoding.nodata}
        valid = sum(counts.values()) if encoding.classes else self._valid
        return EncodedPart(
            self._index, self._window, encoding, tuple(sizes), b"".join(tiles), valid, tuple(sorted(counts.items())),
            tuple(self._sums),
        )  # fmt: skip


def encode_part(index: int, window: Window, pixels: NDArray[Any], encoding: Encoding, levels: int = 1) -> EncodedPart:
    """An EncodedPart of pixels (bands, height, width)."""
    builder = PartBuilder(index, window, encoding, levels)
    builder.add(pixels)
    return builder.part()


def count_levels(region: int, blocksize: int, most: int) -> int:
    """How many of a map's `most` resolutions, the full one included, have tiles that lie inside of one region each: its edge is a
    multiple of what a tile covers."""
    levels = 1
    while levels < most and region % (blocksize << levels) == 0:
        levels += 1
    return levels
