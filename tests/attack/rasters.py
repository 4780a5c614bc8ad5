"""Raster files with random changes: tags of a TIFF's header, sizes, bytes, and cut files."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from swath.geo import Window
from swath.imagery.reading.dataset_cache import DatasetCache
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.sources.files import find_scenes
from swath.spec.fields.imagery import FilesImagery
from tests.attack.kind import NoProcesses
from tests.attack.mutations import changed_bytes, cut_bytes
from tests.imagery.rasters import write

_HEADER_BYTES = 700
_TAGS = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
    317,
    322,
    323,
    324,
    325,
    338,
    339,
    33550,
    33922,
    34264,
    34735,
    34736,
    42112,
    42113,
)
"""Sizes, types, offsets, georeference and GDAL's own tags."""
_NUMBERS = (0, 1, 2, 7, 255, 256, 4096, 65535, 65536, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)


class Rasters(NoProcesses):
    """GeoTIFFs in strips, in tiles, as floats and of one column, and a PNG and a JPEG 2000."""

    codes = frozenset({1, 2})  # 1: pixels could not be read

    def __init__(self, folder: Path) -> None:
        random_bytes = np.random.default_rng(3).integers(0, 255, (3, 64, 64), dtype=np.uint8)
        names = ("red", "green", "blue")
        tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
        write(folder / "strips.tif", random_bytes, names=names)
        write(folder / "tiles.tif", random_bytes.astype(np.uint16), names=names, **tiles)
        write(folder / "float.tif", random_bytes.astype(np.float32), nodata=7, names=names, compress="lzw", predictor=3)
        write(folder / "big.tif", random_bytes[:1], BIGTIFF="YES", names=names[:1], **tiles)
        write(folder / "degrees.tif", random_bytes[:1], crs="EPSG:4326", at=(10, 50), size=0.001, names=names[:1])
        write(folder / "image.png", random_bytes, driver="PNG")
        write(folder / "image.jp2", random_bytes, driver="JP2OpenJPEG")
        for side in folder.glob("*.aux.xml"):
            side.unlink()
        self._good = [path.read_bytes() for path in sorted(folder.glob("*.tif"))]
        self._other = [path.read_bytes() for path in sorted(folder.glob("image.*"))]
        self._file = folder / "scene.tif"

    def unchanged(self) -> Iterator[Path]:
        for good in (*self._good, *self._other):
            self._file.write_bytes(good)
            yield self._file

    def write(self, chance: random.Random) -> tuple[Path, str]:
        how = chance.random()
        data = chance.choice(self._other if how > 0.9 else self._good)
        if how < 0.5:
            data, done = changed_tags(data, chance)
        elif how < 0.7:
            data, done = changed_bytes(data, chance, _HEADER_BYTES), "bytes of the header"
        elif how < 0.8:
            data, done = cut_bytes(data, chance), f"cut of {len(data)} bytes"
        else:
            data, done = changed_bytes(data, chance), "bytes"
        self._file.write_bytes(data)
        return self._file, done

    def use(self, path: Path) -> None:
        scenes = find_scenes(FilesImagery(paths=(str(path),)), None, None)
        rows, columns = scenes.image.shape
        height, width = min(rows, 48), min(columns, 48)
        datasets = DatasetCache()
        read_mosaic(scenes, Window(0, 0, height, width), datasets=datasets)
        read_mosaic(scenes, Window(rows - height, columns - width, height, width), datasets=datasets)


def changed_tags(data: bytes, chance: random.Random) -> tuple[bytes, str]:
    """A classic little-endian TIFF with one to three entries of its first directory changed: tag, type, count or value."""
    changed, done = bytearray(data), []
    (start,) = struct.unpack_from("<I", data, 4)
    if data[:4] != b"II*\0":
        return changed_bytes(data, chance, _HEADER_BYTES), "bytes of the header"
    (count,) = struct.unpack_from("<H", data, start)
    entries = [start + 2 + 12 * number for number in range(count)]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.choice(entries)
        tag, kind, number, value = struct.unpack_from("<HHII", changed, at)
        member = chance.choice(("tag", "kind", "number", "value", "value", "value"))
        new = {
            "tag": (chance.choice(_TAGS), kind, number, value),
            "kind": (tag, chance.randrange(20), number, value),
            "number": (tag, kind, chance.choice(_NUMBERS), value),
            "value": (tag, kind, number, chance.choice(_NUMBERS)),
        }[member]
        struct.pack_into("<HHII", changed, at, *new)
        done.append(f"{member} of {tag}: {(tag, kind, number, value)} -> {new}")
    return bytes(changed), ", ".join(done)
