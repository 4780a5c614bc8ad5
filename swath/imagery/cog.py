"""The map as one Cloud-Optimized GeoTIFF: parts go in as they come, and every pixel is read back before it counts."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window as RasterWindow
from rio_cogeo.cogeo import cog_validate

from swath.errors import TaskFailed
from swath.geo import Blocks, Window
from swath.imagery.legend import Legend
from swath.imagery.part import Part
from swath.imagery.writing import not_written, sync, writing

TILE = 512
"""Edge of a tile in the file, in pixels."""
_CACHE_MB = 128
_DIGEST = 16


@dataclass(frozen=True)
class CogFacts:
    """What is in a map's file, as it was read back."""

    shape: tuple[int, int]
    """(height, width) in pixels."""
    bands: tuple[str, ...]
    """Names."""
    dtype: str
    nodata: float
    crs: str | None
    """Authority code such as EPSG:32618, or WKT where there is none."""
    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f: x = a * col + b * row + c, y = d * col + e * row + f."""
    overviews: tuple[int, ...]
    """Decimation factors."""
    size: int
    """Bytes."""
    valid: int
    """Pixels that are not nodata."""
    counts: dict[int, int]
    """Pixels of each class value; empty for a map of values."""
    statistics: tuple[dict[str, float], ...]
    """minimum, maximum, mean, stddev, valid_percent of each band; the last alone for a band of nothing but nodata."""
    blocks: int
    """Blocks that were written."""
    missing: tuple[int, ...] = ()
    """Wanted blocks that nobody gave: they are nodata in the map."""


def write_cog(
    path: Path,
    parts: Iterable[Part],
    blocks: Blocks,
    *,
    dtype: str,
    nodata: float,
    classes: Legend = (),
    band_names: Sequence[str] = ("map",),
    tags: Mapping[str, str] | None = None,
) -> CogFacts:
    """Write a map to `path` as a strict COG: tiles of 512 pixels, Deflate, overviews, nodata, statistics, colours.

    `parts` come in any order and are taken one at a time. Blocks without a part stay nodata. The grid is
    `blocks.image[blocks.output.roi]`: the source's pixels, not moved. The same parts give the same bytes, in whatever
    order they come. `tags` become the file's metadata. With `classes` (one uint8 band) the file has a colour table,
    and the names are in its metadata and, where QGIS and GDAL look for them, in `<path>.aux.xml`.

    Memory is bounded by a block; the disk beside `path` holds the map's uncompressed bytes for a while.

    Nothing that GDAL says about success is trusted: the file is opened again, validated, and each block compared with
    its part. Raises TaskFailed when it cannot be written or is not what was given, or when a part does not belong to the map.
    """
    if classes and (dtype != "uint8" or len(band_names) != 1):
        raise ValueError(f"a map of classes is one band of uint8, not {len(band_names)} of {dtype}")
    tiles, made = path.with_name(f".{path.name}.tiles"), path.with_name(f".{path.name}.made")
    try:
        with gdal_quiet(), writing(path):
            ledger = _write_tiles(tiles, parts, blocks, dtype, nodata, classes, band_names, tags or {})
            _translate(tiles, made, dtype, classes)
            tiles.unlink()
            sync(made)
            facts = _verified(path, made, blocks, ledger)
            made.replace(path)
            if classes:
                _write_names(path, classes)
        return facts
    finally:
        for leftover in (tiles, made, made.with_name(f"{made.name}.aux.xml")):
            leftover.unlink(missing_ok=True)


@contextmanager
def gdal_quiet() -> Iterator[None]:
    """GDAL's settings: a small cache, and no threads, for a threaded writer does not tell when the disk is full."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB, GDAL_NUM_THREADS=1):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a map of imagery without a place has none either
        yield


@dataclass
class _Ledger:
    """What went into the file, to be compared with what can be read from it."""

    digests: dict[int, bytes]
    """Of each written block's pixels, by its index."""
    counts: NDArray[np.int64]
    valid: int = 0


def _write_tiles(
    path: Path,
    parts: Iterable[Part],
    blocks: Blocks,
    dtype: str,
    nodata: float,
    classes: Legend,
    band_names: Sequence[str],
    tags: Mapping[str, str],
) -> _Ledger:
    """An uncompressed, sparse, tiled GeoTIFF: blocks can be written in any order and only what is written takes room."""
    geobox = blocks.image[blocks.output.roi]
    height, width = geobox.shape
    rgb = len(band_names) == 3 and dtype == "uint8"
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": height, "width": width, "count": len(band_names), "dtype": dtype, "nodata": nodata,
        "transform": geobox.affine, "tiled": True, "blockxsize": TILE, "blockysize": TILE, "sparse_ok": True,
        "bigtiff": "IF_SAFER", "photometric": "RGB" if rgb else "MINISBLACK", "alpha": "NO",
    }  # fmt: skip
    if geobox.crs is not None:
        profile["crs"] = CRS.from_wkt(geobox.crs.to_wkt())
    known = np.zeros(256, dtype=bool)
    known[[each.value for each in classes]] = True
    lattice = replace(blocks, wanted=None)
    ledger = _Ledger({}, np.zeros(256, dtype=np.int64))
    with rasterio.open(path, "w", **profile) as file:
        file.descriptions = tuple(band_names)
        file.update_tags(**tags)
        if classes:
            file.update_tags(
                1, CLASSES=json.dumps({str(each.value): each.name for each in classes}, ensure_ascii=False)
            )
            file.write_colormap(1, _colors(classes, nodata))
        for part in parts:
            _check_part(part, lattice, ledger, dtype, len(band_names))
            pixels = part.pixels()
            if classes:
                counts = np.bincount(pixels.ravel(), minlength=256)
                if 0 <= nodata <= 255:
                    counts[int(nodata)] = 0
                if strangers := np.nonzero(counts * ~known)[0].tolist():
                    raise TaskFailed(
                        f"block {part.index} holds the value {strangers[0]}, which is neither a class nor nodata"
                    )
                ledger.counts += counts
            ledger.valid += part.valid
            ledger.digests[part.index] = _digest(pixels)
            file.write(pixels, window=_relative(part.window, blocks.output))
    return ledger


def _check_part(part: Part, lattice: Blocks, ledger: _Ledger, dtype: str, bands: int) -> None:
    if not 0 <= part.index < len(lattice) or lattice[part.index].window != part.window:
        raise TaskFailed(f"a part says that it is block {part.index} at {part.window}, but the map has no such block")
    if part.index in ledger.digests:
        raise TaskFailed(f"block {part.index} was given twice")
    if (part.dtype, part.bands) != (dtype, bands):
        raise TaskFailed(f"block {part.index} has {part.bands} bands of {part.dtype}, the map has {bands} of {dtype}")


def _colors(classes: Legend, nodata: float) -> dict[int, tuple[int, int, int, int]]:
    """A colour table: the classes, everything else black, nodata transparent."""
    table = dict.fromkeys(range(256), (0, 0, 0, 255))
    table.update({each.value: (*each.color, 255) for each in classes})
    if 0 <= nodata <= 255 and int(nodata) not in {each.value for each in classes}:
        table[int(nodata)] = (0, 0, 0, 0)
    return table


def _translate(tiles: Path, made: Path, dtype: str, classes: Legend) -> None:
    """GDAL's COG driver: it lays out overviews and tiles as the format wants them."""
    floating = np.dtype(dtype).kind == "f"
    options = {
        "BLOCKSIZE": TILE, "COMPRESS": "DEFLATE", "LEVEL": 6, "BIGTIFF": "IF_SAFER", "STATISTICS": "YES",
        "OVERVIEW_RESAMPLING": "MODE" if classes else "AVERAGE",
        "PREDICTOR": "NO" if classes else ("FLOATING_POINT" if floating else "STANDARD"),
    }  # fmt: skip
    rasterio.shutil.copy(tiles, made, driver="COG", **options)


def _verified(path: Path, made: Path, blocks: Blocks, ledger: _Ledger) -> CogFacts:
    """Read everything back: the file is a strict COG, each block holds its part's pixels, the rest is nodata."""
    valid, errors, complaints = cog_validate(made, strict=True, quiet=True)
    if not valid or errors or complaints:
        raise not_written(path, f"it is no valid COG: {'; '.join([*errors, *complaints])}")
    with rasterio.open(made) as file:
        for block in replace(blocks, wanted=None):
            pixels = file.read(window=_relative(block.window, blocks.output))
            wanted = ledger.digests.get(block.index) or _digest(np.full_like(pixels, file.nodata))
            if _digest(pixels) != wanted:
                raise not_written(path, f"block {block.index} at {block.window} does not read back as it was written")
        return CogFacts(
            shape=file.shape,
            bands=file.descriptions,
            dtype=file.dtypes[0],
            nodata=file.nodata,
            crs=file.crs.to_string() if file.crs else None,
            transform=tuple(file.transform)[:6],
            overviews=tuple(file.overviews(1)),
            size=made.stat().st_size,
            valid=ledger.valid,
            counts={value: int(ledger.counts[value]) for value in np.nonzero(ledger.counts)[0].tolist()},
            statistics=tuple(_statistics(file.tags(band)) for band in file.indexes),
            blocks=len(ledger.digests),
            missing=tuple(block.index for block in blocks if block.index not in ledger.digests),
        )


def _statistics(tags: Mapping[str, str]) -> dict[str, float]:
    prefix = "STATISTICS_"
    names = ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV", "VALID_PERCENT")
    return {name.lower(): float(tags[prefix + name]) for name in names if prefix + name in tags}


def _digest(pixels: NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=_DIGEST).digest()


def _relative(window: Window, outer: Window) -> RasterWindow:
    return RasterWindow(window.col - outer.col, window.row - outer.row, window.width, window.height)


def _write_names(path: Path, classes: Legend) -> None:
    """Class names where GDAL keeps them for a GeoTIFF, so that a GIS shows them in its legend without being told."""
    names = {each.value: each.name for each in classes}
    rows = "".join(f"      <Category>{escape(names.get(value, ''))}</Category>\n" for value in range(max(names) + 1))
    xml = (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{rows}    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )
    beside = path.with_name(f"{path.name}.aux.xml")
    beside.write_text(xml, encoding="utf-8")
    sync(beside)
