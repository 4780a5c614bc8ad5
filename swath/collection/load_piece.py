"""One piece of an image, loaded by one call: read onto the image's grid, masked, and encoded as tiles of its bands' files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from swath.collection.load_plan import ImageToLoad
from swath.geo import Blocks, Region, Regions, Window
from swath.graph.call_context import progress
from swath.imagery.reading.mosaic import read_mosaic
from swath.maps.cog.encoded_part import EncodedPart, PartBuilder, count_levels
from swath.maps.cog.tiff_header import level_shapes
from swath.maps.layout import choose_region_edge

if TYPE_CHECKING:
    from swath.collection.load_plan import LoadPlan


@dataclass(frozen=True)
class Piece:
    """A window of one image, loaded by one call."""

    image: ImageToLoad
    region: Region
    levels: int
    """Resolutions of the file that the call encodes, the full one included."""


@dataclass(frozen=True)
class Pieces(Sequence[Piece]):
    """The pieces of all new images, image by image: a lazy sequence.

    A piece depends on its image only. So the pieces that a stopped run has loaded are found again by the next run, whatever
    images are new by then.
    """

    images: tuple[ImageToLoad, ...]
    regions: Regions

    @classmethod
    def of(cls, images: tuple[ImageToLoad, ...], region: int | None, blocksize: int) -> Pieces:
        """Cut images into pieces of `region` pixels on a side; of a size chosen from the images' when it is None."""
        sheets = tuple(
            Blocks(each.scenes.image, each.window, region or choose_region_edge([each.window], blocksize), 0, 1)
            for each in images
        )
        return cls(images, Regions(sheets, tuple(range(len(images)))))

    def __len__(self) -> int:
        return len(self.regions)

    @overload
    def __getitem__(self, item: int) -> Piece: ...
    @overload
    def __getitem__(self, item: slice) -> Sequence[Piece]: ...
    def __getitem__(self, item: int | slice) -> Piece | Sequence[Piece]:
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(len(self)))]
        region = self.regions[item]
        image, blocks = self.images[region.sheet], self.regions.sheets[region.sheet]
        edge = image.encodings[0].blocksize
        levels = count_levels(blocks.size, edge, len(level_shapes(*image.window.shape, edge)))
        # Without the image's number in this run: the piece, and the key of its call, must not depend on it.
        return Piece(image, replace(region, sheet=0, grid=0), levels)


@dataclass(frozen=True)
class LoadedPiece:
    """The result of one call: one encoded part for each band's file."""

    image: str
    """The image's id."""
    parts: tuple[EncodedPart, ...]
    lost: int
    """Valid pixels that hold the file's nodata value, and so read as nodata from the file."""


def load_piece(piece: Piece) -> LoadedPiece:
    """Read a piece and encode it, one row of tiles at a time. Raises what swath.imagery.reading.mosaic.read_mosaic raises."""
    image, block = piece.image, piece.region.block
    builders = [PartBuilder(block.index, block.window, encoding, piece.levels) for encoding in image.encodings]
    rows, lost = image.encodings[0].blocksize, 0
    for row in range(block.window.row, block.window.stop_row, rows):
        strip = Window(row, block.window.col, min(rows, block.window.stop_row - row), block.window.width)
        pixels, valid = read_mosaic(image.scenes, strip, reflectance=image.physical)
        hidden = np.zeros(strip.shape, bool)
        for layer, encoding, builder in zip(pixels, image.encodings, builders, strict=True):
            values = layer.astype(encoding.dtype, copy=False)
            if encoding.alpha:
                opaque = np.iinfo(encoding.dtype).max
                builder.add(np.stack([values, np.where(valid, opaque, 0).astype(encoding.dtype)]))
            else:
                hidden |= valid & (values == encoding.nodata)
                builder.add(np.where(valid, values, encoding.nodata).astype(encoding.dtype, copy=False)[None])
        lost += int(hidden.sum())
        progress(pixels=strip.height * strip.width)
    return LoadedPiece(image.id, tuple(builder.part() for builder in builders), lost)


def estimate(plan: LoadPlan, pieces: Pieces) -> dict[str, Any]:
    """What a load takes, before it is made: images, megapixels, bytes to read."""
    sizes = [image.window.height * image.window.width for image in plan.new]
    layers = [len(each.scenes.scenes) if each.scenes.mosaic == "median" else 1 for each in plan.new]
    widths = [sum(np.dtype(encoding.dtype).itemsize for encoding in image.encodings) for image in plan.new]
    return {
        "images": plan.found,
        "to load": len(plan.new),
        "bands": ", ".join(plan.inventory.bands),
        "regions": len(pieces),
        "megapixels": round(sum(sizes) / 1e6, 3),
        "read_bytes": sum(size * layer * width for size, layer, width in zip(sizes, layers, widths, strict=True)),
    }
