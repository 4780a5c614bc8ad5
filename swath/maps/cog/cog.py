"""Writes a map as a Cloud-Optimized GeoTIFF from encoded parts, reads it back and verifies it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterWindow
from rio_cogeo.cogeo import cog_validate

from swath.errors import TaskFailed
from swath.geo import Blocks, Window
from swath.maps.cog.assembly import Assembly
from swath.maps.cog.encoded_part import EncodedPart
from swath.maps.cog.encoding import Encoding
from swath.maps.cog.tiff_header import Tag, read_tags, statistics_tags
from swath.maps.gdal import gdal_write_env, open_map, writing_raster
from swath.maps.legend import Legend, color_table
from swath.storage.durable_write import not_written, sync
from swath.storage.upload import Upload

COMPARED_PARTS = 32
"""So many parts, spread over the map, have a tile decoded by GDAL and compared."""


@dataclass(frozen=True)
class CogFacts:
    """Facts on a map's file, as it was read back."""

    shape: tuple[int, int]
    """(height, width) in pixels."""
    bands: tuple[str, ...]
    """Names of the bands."""
    dtype: str
    nodata: float
    crs: str | None
    """Authority code such as EPSG:32618, or WKT where there is none."""
    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f: x = a * col + b * row + c, y = d * col + e * row + f."""
    overviews: tuple[int, ...]
    """Decimation factors of the overviews."""
    size: int
    """Bytes of the file."""
    valid: int
    """Pixels that are not nodata."""
    counts: dict[int, int]
    """Pixels of each class value; empty for a map of values."""
    statistics: tuple[dict[str, float], ...]
    """minimum, maximum, mean, stddev, valid_percent of each band; only the last for a band of nodata."""
    blocks: int
    """Regions that were written."""
    missing: tuple[int, ...] = ()
    """Indices of wanted regions without a part: they are nodata in the map."""


def write_cog(
    path: Path | Upload,
    parts: Sequence[EncodedPart],
    blocks: Blocks,
    encoding: Encoding,
    *,
    classes: Legend = (),
    band_names: Sequence[str] = ("map",),
    tags: Mapping[str, str] | None = None,
    scale: float = 1.0,
    offset: float = 0.0,
) -> CogFacts:
    """Write a map as a strict COG: Deflate, overviews, nodata, statistics, colours, in the layout of GDAL's COG driver. To a file,
    or to an object store in parts and without a copy on the disk.

    `parts` are sorted by index and are iterated more than once, one at a time. Regions without a part stay nodata. The grid is
    `blocks.image[blocks.output.roi]`: the source's pixels, not resampled. The same pixels give the same bytes, whatever the regions
    are. `tags` become the file's metadata; value * `scale` + `offset` is the physical value. With `classes` (one uint8 band)
    the file has a colour table, and the class names are in its metadata and, where QGIS and GDAL look for them, in
    `<path>.aux.xml`, which the caller has to send beside an upload (see `category_names_xml`).

    The result is verified: the file is read again and compared byte by byte, validated, and tiles of it are decoded by GDAL
    and compared with their parts. Raises TaskFailed when it cannot be written, is not what was given, or a part does not belong
    to the map.
    """
    folder = Path(tempfile.gettempdir()) if isinstance(path, Upload) else path.parent
    with gdal_write_env(), Assembly(parts, blocks, encoding, folder) as assembly:
        _check_classes(assembly, classes)
        map_tags = _map_tags(
            assembly, blocks.image[blocks.output.roi], classes, band_names, tags or {}, (scale, offset)
        )
        if isinstance(path, Upload):
            path.send(assembly.chunks(map_tags))
            with open_map(path.url) as file:
                return _verify(path.url, file, path.size, parts, blocks, assembly)
        temporary = path.with_name(f".{path.name}.made")
        try:
            with writing_raster(path):
                _write(path, temporary, assembly.chunks(map_tags))
                with rasterio.open(temporary) as file:
                    facts = _verify(str(path), file, temporary.stat().st_size, parts, blocks, assembly)
                temporary.replace(path)
                if classes:
                    path.with_name(f"{path.name}.aux.xml").write_text(category_names_xml(classes), encoding="utf-8")
                    sync(path.with_name(f"{path.name}.aux.xml"))
            return facts
        finally:
            for leftover in (temporary, temporary.with_name(f"{temporary.name}.aux.xml")):
                leftover.unlink(missing_ok=True)


def _check_classes(assembly: Assembly, classes: Legend) -> None:
    if bool(classes) != assembly.encoding.classes:
        raise ValueError(f"{len(classes)} classes do not go with {assembly.encoding}")
    known = {each.value for each in classes}
    if classes and (unknown := sorted(set(assembly.counts) - known)):
        raise TaskFailed(f"the map holds the value {unknown[0]}, which is neither a class nor nodata")


def _map_tags(
    assembly: Assembly,
    geobox: GeoBox,
    classes: Legend,
    band_names: Sequence[str],
    tags: Mapping[str, str],
    scaling: tuple[float, float],
) -> list[Tag]:
    """The map's TIFF tags as GDAL writes them, from a file of one tile."""
    encoding = assembly.encoding
    if len(band_names) != encoding.bands:
        raise ValueError(f"{len(band_names)} names do not fit {encoding.bands} bands")
    half = encoding.dtype == "float16"  # GDAL calls it a float of 16 bits
    rgb = encoding.bands == 3 and encoding.dtype == "uint8" and not encoding.alpha
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": encoding.blocksize, "width": encoding.blocksize, "count": encoding.bands,
        "dtype": "float32" if half else encoding.dtype, "nodata": encoding.nodata, "transform": geobox.affine, "tiled": True,
        "blockxsize": encoding.blocksize, "blockysize": encoding.blocksize, "sparse_ok": True, "bigtiff": "YES",
        "interleave": "pixel", "photometric": "RGB" if rgb else "MINISBLACK", "alpha": "NO", "endianness": "LITTLE",
    }  # fmt: skip
    if half:
        profile["nbits"] = 16
    if encoding.alpha:
        del profile["nodata"]
    if geobox.crs is not None:
        profile["crs"] = CRS.from_wkt(geobox.crs.to_wkt())
    with MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.descriptions = tuple(band_names)
            file.update_tags(**tags)
            if scaling != (1.0, 0.0):
                file.scales, file.offsets = ((each,) * encoding.bands for each in scaling)
            if encoding.alpha:
                between = [ColorInterp.undefined] * (encoding.bands - 2)
                file.colorinterp = [ColorInterp.gray, *between, ColorInterp.alpha]
            for band, statistics in enumerate(assembly.statistics(), 1):
                file.update_tags(band, **statistics_tags(statistics))
            if classes:
                names = {str(each.value): each.name for each in classes}
                file.update_tags(1, CLASSES=json.dumps(names, ensure_ascii=False))
                file.write_colormap(1, color_table(classes, encoding.nodata))
        return read_tags(memory.read())


def _write(path: Path, temporary: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write the chunks to the temporary file, read them again, and validate it with rio-cogeo."""
    digest = hashlib.sha256()
    with temporary.open("wb", buffering=1 << 20) as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
    sync(temporary)
    with temporary.open("rb") as file:
        if hashlib.file_digest(file, "sha256").digest() != digest.digest():
            raise not_written(path, "it does not read back as it was written")
    valid, errors, warnings = cog_validate(temporary, strict=True, quiet=True)
    with rasterio.open(temporary) as file:
        narrow = min(file.shape) == 1  # rio-cogeo computes the factor of overviews from the side that stays 1
    if (not valid or errors or warnings) and not narrow:
        raise not_written(path, f"it is not a valid COG: {'; '.join([*errors, *warnings])}")


def _verify(
    name: str, file: DatasetReader, size: int, parts: Sequence[EncodedPart], blocks: Blocks, assembly: Assembly
) -> CogFacts:
    """Check with GDAL that the file has the map's shape, and tiles with the pixels of their parts; returns the facts."""
    if (file.shape, len(file.overviews(1))) != (blocks.output.shape, assembly.overviews):
        raise TaskFailed(f"{name}: it is {file.shape} with overviews {file.overviews(1)}, not {blocks.output.shape}")
    for number in range(0, len(parts), max(1, len(parts) // COMPARED_PARTS)):
        _compare_pixels(name, file, parts[number], blocks)
    return CogFacts(
        shape=file.shape,
        bands=file.descriptions,
        dtype=file.dtypes[0],
        nodata=assembly.encoding.nodata if assembly.encoding.alpha else file.nodata,
        crs=file.crs.to_string() if file.crs else None,
        transform=tuple(file.transform)[:6],
        overviews=tuple(file.overviews(1)),
        size=size,
        valid=assembly.valid,
        counts=dict(sorted(assembly.counts.items())),
        statistics=assembly.statistics(),
        blocks=len(assembly.found),
        missing=assembly.missing(),
    )


def _compare_pixels(name: str, file: DatasetReader, part: EncodedPart, blocks: Blocks) -> None:
    """Decode the tile in the middle of a part with GDAL, and compare it with the part."""
    edge, window = part.encoding.blocksize, part.window
    row, col = (length // 2 // edge for length in window.shape)
    tile_window = Window(
        window.row + row * edge, window.col + col * edge,
        min(edge, window.height - row * edge), min(edge, window.width - col * edge),
    )  # fmt: skip
    pixels = part.encoding.decode(part.tile(0, row * -(-window.width // edge) + col))[
        :, : tile_window.height, : tile_window.width
    ]
    found = file.read(window=_relative(tile_window, blocks.output))
    if not np.array_equal(found, pixels, equal_nan=np.dtype(part.encoding.dtype).kind == "f"):
        raise TaskFailed(f"{name}: the tile at {tile_window} does not read back as it was given")


def _relative(window: Window, outer: Window) -> RasterWindow:
    return RasterWindow(window.col - outer.col, window.row - outer.row, window.width, window.height)


def category_names_xml(classes: Legend) -> str:
    """Class names in the format of GDAL's side-car files, from which a GIS takes its legend."""
    names = {each.value: each.name for each in classes}
    rows = "".join(f"      <Category>{escape(names.get(value, ''))}</Category>\n" for value in range(max(names) + 1))
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{rows}    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )
