"""The header of a Cloud-Optimized GeoTIFF: GDAL's own tags for the map, with offsets and sizes of the tiles.

GDAL writes a GeoTIFF of one tile with the map's grid, colours, names and statistics; its tags are copied, so that a coordinate
reference system is encoded as GDAL does it. The layout is that of GDAL's COG driver: header, then all directories, then the
tiles of the smallest overview first and those of the full resolution last, each between its size and a repetition of its last
four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE_LEADER = struct.Struct("<I")
"""Before each tile: its size in bytes. After it, its last four bytes are repeated."""
TILE_OVERHEAD = 8
"""Bytes around each tile."""

_LAYOUT = (
    b"LAYOUT=IFDS_BEFORE_DATA\nBLOCK_ORDER=ROW_MAJOR\nBLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\nKNOWN_INCOMPATIBLE_EDITION=NO\n "
)
_LARGEST_CLASSIC = 2**32 - 2**20

_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _COLORS, _PREDICTOR = 254, 256, 257, 259, 320, 317
_TILE_WIDTH, _TILE_HEIGHT, _OFFSETS, _SIZES = 322, 323, 324, 325
_STRIPS = (273, 278, 279)
_OF_OVERVIEWS = {258, 262, 277, 284, 338, 339, _COLORS, 42113}
"""Tags of the full resolution that overviews have as well: bits, photometric, samples, planes, extra samples, sample format, colours,
nodata."""

_SHORT, _LONG, _LONG8 = 3, 4, 16
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_DEFLATE = 8


@dataclass(frozen=True)
class Tag:
    """One entry of a directory."""

    number: int
    kind: int
    """Type number of TIFF."""
    count: int
    data: bytes
    """Values, little-endian."""


@dataclass(frozen=True)
class Level:
    """One resolution of the file."""

    height: int
    width: int
    sizes: NDArray[np.uint64]
    """uint64: bytes of each encoded tile, row by row, without the overhead around it."""

    @property
    def bytes(self) -> int:
        """All of its tiles, with the overhead around them."""
        return int(self.sizes.sum()) + TILE_OVERHEAD * len(self.sizes)


def level_shapes(height: int, width: int, blocksize: int) -> list[tuple[int, int]]:
    """(height, width) of the map and of its overviews, each half of the one before, down to one that is a single tile."""
    shapes = [(height, width)]
    while max(shapes[-1]) > blocksize:
        shapes.append(tuple(-(-length // 2) for length in shapes[-1]))  # type: ignore[arg-type]
    return shapes


def read_tags(file: bytes) -> list[Tag]:
    """The tags of the first directory of a little-endian TIFF or BigTIFF. Raises ValueError for another file."""
    big = file[:4] == b"II+\0"
    if not big and file[:4] != b"II*\0":
        raise ValueError("not a little-endian TIFF")
    place = struct.unpack_from("<Q", file, 8)[0] if big else struct.unpack_from("<I", file, 4)[0]
    entry = struct.Struct("<HHQ8s" if big else "<HHI4s")
    (count,) = struct.unpack_from("<Q" if big else "<H", file, place)
    place += 8 if big else 2
    tags = []
    for number in range(count):
        tag, kind, values, inline = entry.unpack_from(file, place + number * entry.size)
        size = _TYPE_BYTES[kind] * values
        if size > len(inline):
            (at,) = struct.unpack("<Q" if big else "<I", inline)
            data = file[at : at + size]
        else:
            data = inline[:size]
        tags.append(Tag(tag, kind, values, data))
    return tags


def build_header(map_tags: Sequence[Tag], levels: Sequence[Level], blocksize: int, predictor: int) -> bytes:
    """All bytes before the first tile. `map_tags` are the map's tags as GDAL wrote them, `levels` begin with the full resolution.

    The tiles follow without a gap: of the last level first, row by row. The file is a BigTIFF only when it has to be.
    """
    total = sum(level.bytes for level in levels)
    length = len(_build(map_tags, levels, blocksize, predictor, 0, big=False))
    if length + total > _LARGEST_CLASSIC:
        length = len(_build(map_tags, levels, blocksize, predictor, 0, big=True))
        return _build(map_tags, levels, blocksize, predictor, length, big=True)
    return _build(map_tags, levels, blocksize, predictor, length, big=False)


def _build(
    map_tags: Sequence[Tag], levels: Sequence[Level], blocksize: int, predictor: int, length: int, *, big: bool
) -> bytes:
    """The header; `length` is its own length, on which the offsets of the tiles depend."""
    start = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
    ghost = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_LAYOUT) + _LAYOUT
    first = _even(len(start) + len(ghost))
    header_bytes = bytearray((start + ghost).ljust(first, b"\0"))
    struct.pack_into("<Q" if big else "<I", header_bytes, 8 if big else 4, first)
    for number, level in enumerate(levels):
        bytes_before = sum(level.bytes for level in levels[number + 1 :])
        tags = _tags(map_tags, level, number, blocksize, predictor, length + bytes_before, big)
        header_bytes += _directory(tags, len(header_bytes), last=number == len(levels) - 1, big=big)
    return bytes(header_bytes)


def _tags(
    map_tags: Sequence[Tag], level: Level, number: int, blocksize: int, predictor: int, start: int, big: bool
) -> list[Tag]:
    """The directory of one level whose first tile is at `start`."""
    sizes = level.sizes.astype("<u8")
    places = start + TILE_LEADER.size + TILE_OVERHEAD * np.arange(len(sizes), dtype="<u8") + np.cumsum(sizes) - sizes
    long, kind = ("<u8", _LONG8) if big else ("<u4", _LONG)
    level_tags = {
        _WIDTH: Tag(_WIDTH, _LONG, 1, struct.pack("<I", level.width)),
        _HEIGHT: Tag(_HEIGHT, _LONG, 1, struct.pack("<I", level.height)),
        _COMPRESSION: Tag(_COMPRESSION, _SHORT, 1, struct.pack("<H", _DEFLATE)),
        _TILE_WIDTH: Tag(_TILE_WIDTH, _LONG, 1, struct.pack("<I", blocksize)),
        _TILE_HEIGHT: Tag(_TILE_HEIGHT, _LONG, 1, struct.pack("<I", blocksize)),
        _OFFSETS: Tag(_OFFSETS, kind, len(places), places.astype(long).tobytes()),
        _SIZES: Tag(_SIZES, _LONG, len(sizes), sizes.astype("<u4").tobytes()),
    }
    if predictor != 1:
        level_tags[_PREDICTOR] = Tag(_PREDICTOR, _SHORT, 1, struct.pack("<H", predictor))
    if number:
        level_tags[_SUBFILE] = Tag(_SUBFILE, _LONG, 1, struct.pack("<I", 1))
    replaced = {_PREDICTOR, _SUBFILE, *_STRIPS, *level_tags}
    kept = [tag for tag in map_tags if tag.number not in replaced and (not number or tag.number in _OF_OVERVIEWS)]
    return sorted([*kept, *level_tags.values()], key=lambda tag: tag.number)


def _directory(tags: Sequence[Tag], place: int, *, last: bool, big: bool) -> bytes:
    """A directory at offset `place`, followed by the values that do not fit into its entries."""
    count, entry, pointer = ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    room = struct.calcsize(pointer)
    values_at = place + struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + room) + room
    entries, values = bytearray(struct.pack(count, len(tags))), bytearray()
    for tag in tags:
        entries += struct.pack(entry, tag.number, tag.kind, tag.count)
        if len(tag.data) <= room:
            entries += tag.data.ljust(room, b"\0")
        else:
            values += b"\0" * (-(values_at + len(values)) % 8)
            entries += struct.pack(pointer, values_at + len(values))
            values += tag.data
    values += b"\0" * (-(values_at + len(values)) % 8)
    return bytes(entries + struct.pack(pointer, 0 if last else values_at + len(values)) + values)


def _even(length: int) -> int:
    return length + length % 2


def statistics_tags(statistics: Mapping[str, float]) -> dict[str, str]:
    """A band's statistics as GDAL names them."""
    return {f"STATISTICS_{name.upper()}": f"{value:.14g}" for name, value in statistics.items()}
