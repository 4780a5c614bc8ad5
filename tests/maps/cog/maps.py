"""Maps and parts for the tests of COGs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning

from swath.geo import Blocks, Window
from swath.maps.cog.encoded_part import EncodedPart, count_levels, encode_part
from swath.maps.cog.encoding import Encoding
from swath.maps.cog.tiff_header import level_shapes
from swath.maps.legend import MapClass

CLASSES = (MapClass(0, "land", (200, 180, 120)), MapClass(1, "water & ice", (30, 90, 200)))


def blocks_of(geobox: GeoBox, size: int, output: Window | None = None, wanted: tuple[int, ...] | None = None) -> Blocks:
    output = output or Window(0, 0, *geobox.shape)
    return Blocks(image=geobox, output=output, size=size, halo=0, stride=1, wanted=wanted)


def parts_of(blocks: Blocks, image: np.ndarray, encoding: Encoding) -> list[EncodedPart]:
    """Cut `image` (bands, rows, columns of the whole image grid) into the parts of the regions."""
    levels = count_levels(blocks.size, encoding.blocksize, len(level_shapes(*blocks.output.shape, encoding.blocksize)))
    return [encode_part(block.index, block.window, image[:, *block.window.roi], encoding, levels) for block in blocks]


def classes_of(blocksize: int = 64) -> Encoding:
    return Encoding("uint8", 255, classes=True, blocksize=blocksize)


def grid(height: int, width: int, crs: str | None = "EPSG:32618") -> GeoBox:
    return GeoBox((height, width), Affine(30, 0, 400_000, 0, -30, 2_800_000), crs)


def noise(height: int, width: int, top: int = 2) -> np.ndarray:
    return np.random.default_rng(7).integers(0, top, (1, height, width), dtype=np.uint8)


def read(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read()
