"""Windows, blocks, regions and sheets of a pixel grid: pure geometry on odc-geo's GeoBox, without any pixels."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels on a grid. `row` and `col` count from the grid's upper left pixel."""

    row: int
    col: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.height, self.width)

    @property
    def stop_row(self) -> int:
        return self.row + self.height

    @property
    def stop_col(self) -> int:
        return self.col + self.width

    @property
    def roi(self) -> tuple[slice, slice]:
        """Slices (rows, columns) for an array or a GeoBox of the whole grid."""
        return (slice(self.row, self.stop_row), slice(self.col, self.stop_col))

    def within(self, outer: Window) -> tuple[slice, slice]:
        """Slices (rows, columns) of this window in an array that covers `outer`."""
        return (
            slice(self.row - outer.row, self.stop_row - outer.row),
            slice(self.col - outer.col, self.stop_col - outer.col),
        )

    def intersection(self, other: Window) -> Window | None:
        """The pixels in both, or None."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = min(self.stop_row, other.stop_row) - row
        width = min(self.stop_col, other.stop_col) - col
        return Window(row, col, height, width) if height > 0 and width > 0 else None


def source_window(image: GeoBox, window: Window, halo: int, stride: int) -> Window:
    """The window to read for `window`: `halo` pixels more on each side, from and to multiples of `stride` on the image grid, cut
    at the image's edges."""
    return _source_window((image.shape[0], image.shape[1]), window, halo, stride)


def _source_window(image: tuple[int, int], window: Window, halo: int, stride: int) -> Window:
    def widened(start: int, stop: int, edge: int) -> tuple[int, int]:
        low = max(0, start - halo) // stride * stride
        return low, min(edge, -(-(stop + halo) // stride) * stride)

    height, width = image
    row, stop_row = widened(window.row, window.stop_row, height)
    col, stop_col = widened(window.col, window.stop_col, width)
    return Window(row, col, stop_row - row, stop_col - col)


@dataclass(frozen=True)
class Block:
    """One output window of the map, and the source window that must be read for it."""

    index: int
    """Position in the full row-major lattice of blocks."""
    window: Window
    """The output, in pixels of the image grid."""
    source: Window
    """The window with its halo, aligned to the stride, cut at the image's edges."""


@dataclass(frozen=True)
class Blocks(Sequence[Block]):
    """The blocks that cover the output window: a lazy sequence, each block is computed when it is accessed.

    Blocks do not overlap. Without `wanted` they cover exactly `output`. A block's source window starts at a multiple of
    `stride` on the image grid and extends at least `halo` pixels beyond the block, or to the image's edge, so a model with
    receptive radius <= halo and total stride `stride` gives each pixel the same value as in one pass over the whole image.
    """

    image: GeoBox
    """Grid of the whole image."""
    output: Window
    """The part of the image that is mapped, in pixels of the image grid."""
    size: int
    """Edge of a block in pixels."""
    halo: int
    """Pixels that are read around a block."""
    stride: int
    """The model's total stride in pixels."""
    wanted: tuple[int, ...] | None = None
    """Lattice indices of the blocks to map; None means all."""

    def __getstate__(self) -> dict[str, Any]:
        # The image is a pickle in the pickle, loaded when it is first asked for: who only needs windows imports no odc-geo.
        state = {name: value for name, value in vars(self).items() if name != "image"}
        if "_image" not in state:
            state |= {"_image": pickle.dumps(self.image), "_shape": self._image_shape}
        return state

    def __getattr__(self, name: str) -> Any:
        if name != "image" or "_image" not in vars(self):
            raise AttributeError(name)
        image = pickle.loads(vars(self)["_image"])
        object.__setattr__(self, "image", image)
        return image

    @property
    def _image_shape(self) -> tuple[int, int]:
        """(height, width) of the whole image in pixels."""
        shape = vars(self).get("_shape") or self.image.shape
        return (shape[0], shape[1])

    @property
    def lattice(self) -> tuple[int, int]:
        """(rows, columns) of blocks that tile the output window."""
        return (-(-self.output.height // self.size), -(-self.output.width // self.size))

    def __len__(self) -> int:
        rows, columns = self.lattice
        return rows * columns if self.wanted is None else len(self.wanted)

    @overload
    def __getitem__(self, item: int) -> Block: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Block]: ...
    def __getitem__(self, item: int | slice) -> Block | Sequence[Block]:
        if isinstance(item, slice):
            return [self[i] for i in range(*item.indices(len(self)))]
        if not -len(self) <= item < len(self):
            raise IndexError(item)
        item %= len(self)
        return self._block(item if self.wanted is None else self.wanted[item])

    def _block(self, index: int) -> Block:
        lattice_row, lattice_col = divmod(index, self.lattice[1])
        row = self.output.row + lattice_row * self.size
        col = self.output.col + lattice_col * self.size
        window = Window(
            row, col, min(self.size, self.output.stop_row - row), min(self.size, self.output.stop_col - col)
        )
        return Block(index, window, _source_window(self._image_shape, window, self.halo, self.stride))

    @property
    def pixels(self) -> int:
        """Pixels of the wanted blocks together, without halo."""
        if self.wanted is None:
            return self.output.height * self.output.width
        return sum(block.window.height * block.window.width for block in self)

    def touching(self, window: Window) -> list[int]:
        """Lattice indices of the blocks that share pixels with `window`, wanted or not."""
        inside = self.output.intersection(window)
        if inside is None:
            return []
        rows = range(
            (inside.row - self.output.row) // self.size, (inside.stop_row - 1 - self.output.row) // self.size + 1
        )
        cols = range(
            (inside.col - self.output.col) // self.size, (inside.stop_col - 1 - self.output.col) // self.size + 1
        )
        return [row * self.lattice[1] + col for row in rows for col in cols]

    def samples(self, count: int, edge: int) -> list[Window]:
        """Up to `count` windows of `edge` pixels on a side, spread over the wanted blocks and centred on their upper left corners,
        where up to four blocks meet; for the block at the upper left corner of the output, centred on its middle."""
        windows: list[Window] = []
        taken = min(count, len(self))
        for number in range(taken):
            block = self[number * (len(self) - 1) // max(1, taken - 1)].window
            row, col = block.row, block.col
            if (row, col) == (self.output.row, self.output.col):
                row, col = row + block.height // 2, col + block.width // 2
            sample = Window(row - edge // 2, col - edge // 2, edge, edge).intersection(self.output)
            if sample is not None and sample not in windows:
                windows.append(sample)
        return windows


@dataclass(frozen=True)
class Region:
    """A window of one sheet, made by one call."""

    sheet: int
    """Number of the sheet."""
    grid: int
    """Which of the map's grids the sheet is on."""
    block: Block
    """Its index is that in the sheet."""


@dataclass(frozen=True)
class Regions(Sequence[Region]):
    """The regions of all sheets of a map, sheet by sheet: a lazy sequence."""

    sheets: tuple[Blocks, ...]
    """Each sheet's output window, cut into regions."""
    grids: tuple[int, ...]
    """Which of the map's grids each sheet is on."""

    def __len__(self) -> int:
        return sum(map(len, self.sheets))

    @overload
    def __getitem__(self, item: int) -> Region: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Region]: ...
    def __getitem__(self, item: int | slice) -> Region | Sequence[Region]:
        if isinstance(item, slice):
            return [self[i] for i in range(*item.indices(len(self)))]
        if not -len(self) <= item < len(self):
            raise IndexError(item)
        item %= len(self)
        for number, blocks in enumerate(self.sheets):
            if item < len(blocks):
                return Region(number, self.grids[number], blocks[item])
            item -= len(blocks)
        raise IndexError(item)

    @property
    def megapixels(self) -> float:
        """Millions of pixels of all regions together."""
        return sum(blocks.pixels for blocks in self.sheets) / 1e6

    def first(self, sheet: int) -> int:
        """Position of a sheet's first region."""
        return sum(map(len, self.sheets[:sheet]))


SHEET_EDGE = 65536
"""Longest edge of one sheet in pixels, by default: files of some gigabytes."""


def sheet_windows(output: Window, region: int, limit: int = SHEET_EDGE) -> list[Window]:
    """Cut the output into sheets of about equal size, row by row, with edges of at most `limit` pixels, or of one region.

    They begin at multiples of `region` pixels from the output's corner, so each region lies in one sheet. There is one sheet when
    the output is no larger than `limit`.
    """
    rows, cols = (_cuts(length, region, limit) for length in output.shape)
    return [Window(output.row + top, output.col + left, height, width) for top, height in rows for left, width in cols]


def _cuts(length: int, region: int, limit: int) -> list[tuple[int, int]]:
    """(start, length) of each piece."""
    regions = -(-length // region)
    most = max(1, limit // region)
    pieces = -(-regions // most)
    step = -(-regions // pieces) * region
    return [(start, min(step, length - start)) for start in range(0, length, step)]
