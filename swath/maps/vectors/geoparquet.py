"""Polygons of a map's objects in GeoParquet 1.1: one row for each connected patch of a class."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.windows import Window as RasterWindow

from swath.errors import TaskFailed
from swath.imagery.geometry.pixel_area import PixelArea
from swath.maps.gdal import gdal_write_env, open_map, writing_raster
from swath.maps.legend import Legend
from swath.maps.vectors.outlines import Floats, Outlines
from swath.maps.vectors.polygon import object_bounds, simplify, split_objects, to_wkb
from swath.maps.vectors.ragged_arrays import Ints
from swath.maps.vectors.tracer import Strip, Tracer
from swath.spec.fields.output import Holes, Vectors
from swath.storage.durable_write import sync, writing

_STEPS = 1 << 16
"""Areas of runs are counted in this part of the area of the grid's middle pixel: whole numbers add up to the same in any order."""


@dataclass(frozen=True)
class VectorLimits:
    """Sizes of what is read, traced and written at a time. No polygon depends on them."""

    read_pixels: int = 1 << 23
    """Read from the map, in whole rows of its tiles."""
    strip_pixels: int = 1 << 20
    """Traced."""
    group_rows: int = 20_000
    """Rows of one row group of the Parquet file, at most."""
    group_bytes: int = 1 << 25
    """Bytes of geometry after which a row group ends."""
    polygon_bytes: int = 1 << 30
    """The largest polygon that is written."""


LIMITS = VectorLimits()


def write_vectors(
    path: Path, source: Path | str, classes: Legend, options: Vectors | None = None, limits: VectorLimits = LIMITS
) -> int:
    """Write the polygons of a map of classes to `path` and return how many there are.

    `source` is the map's file, or an index of its sheets (see swath.maps.sheets). An object is a patch of pixels of one class
    that are connected through their sides: pixels that touch at a corner only are two objects. Objects are never cut,
    neither at tiles nor at blocks nor at sheets. Classes in the background, and nodata, get none.

    Columns: `class` (value in the map), `name`, `pixels`, `area_m2`, `geometry` in the map's CRS, `bbox` (the covering
    column of GeoParquet 1.1, by which a reader skips what it does not need). `area_m2` is the area on the WGS 84 ellipsoid
    of the object's pixels, not that of the shape in the map's projection; see swath.imagery.geometry.pixel_area.
    It is null where the map has no CRS; `geometry` is then in the map's own pixels. `pixels` and `area_m2` are those of the map:
    filled holes and simplification change only `geometry`. Pixels of objects below the smallest area are in no polygon, except
    in that of an object whose hole they fill.

    Rows are ordered by the object's last row in the map, then by its first pixel; the same map gives the same bytes. Polygons are
    valid, outer rings counter-clockwise, and run exactly along the pixels' sides if they are not simplified.

    Memory: what swath.maps.vectors.tracer takes, and a row group; with `simplify` all polygons, about 150 bytes for each point.
    Raises TaskFailed when `path` cannot be written, or when an area is asked for and the map has no CRS.
    """
    options = options or Vectors()
    if not classes:
        raise ValueError("a map of values has no objects")
    if unknown := set(options.background) - {each.name for each in classes}:
        raise TaskFailed(
            f"{path}: no class is called {', '.join(sorted(unknown))}",
            remedy=f"output.vectors.background names classes of the model: {', '.join(each.name for each in classes)}",
        )
    with gdal_write_env(), open_map(source) as file:
        wkt = file.crs.to_wkt() if file.crs else None
        pixel_area = PixelArea.of(GeoBox(file.shape, file.transform, wkt))
        if pixel_area is None and (
            options.min_area or isinstance(options.holes, Holes) or isinstance(options.simplify, float)
        ):
            raise TaskFailed(
                f"{path}: the map has no CRS, so nothing in it has a size in metres",
                remedy="leave out min_area and the areas of holes, and give simplify in pixels, such as 1px",
            )
        table = _Table(path, file.transform, wkt, {each.value: each.name for each in classes}, pixel_area, limits)
        values = [each.value for each in classes if each.name not in options.background]
        with writing_raster(path), table:
            found = (
                _select(each, options, table.areas(each)) for each in _trace(file, values, pixel_area, options, limits)
            )
            if options.simplify is None:
                for outlines in found:
                    table.add(outlines)
            else:
                outlines = simplify(list(found), _tolerance(options.simplify, pixel_area))
                table.add(_fill_holes(outlines, options, table.areas(outlines)))
        with writing(path):
            sync(path)
    return table.count


def _trace(
    file: rasterio.io.DatasetReader,
    values: list[int],
    pixel_area: PixelArea | None,
    options: Vectors,
    limits: VectorLimits,
) -> Iterator[Outlines]:
    """The objects of a map, as soon as they are complete."""
    tracer = Tracer(
        file.width,
        lambda rows, columns, lengths: _run_areas(pixel_area, rows, columns, lengths),
        noded=options.simplify is not None,
    )
    for strip in _strips(file, values, limits):
        yield tracer.add(strip)
    yield tracer.finish()


def _strips(file: rasterio.io.DatasetReader, values: list[int], limits: VectorLimits) -> Iterator[Strip]:
    """The map from top to bottom, some rows at a time; -1 in place of all values but `values`."""
    lookup = np.full(256, -1, dtype=np.int16)
    lookup[values] = values
    if file.nodata is not None and 0 <= file.nodata <= 255:
        lookup[int(file.nodata)] = -1
    step = max(1, limits.strip_pixels // file.width)
    tile = file.block_shapes[0][0]
    height = max(1, limits.read_pixels // file.width // tile) * tile
    for row in range(0, file.height, height):
        pixels = file.read(1, window=RasterWindow(0, row, file.width, min(height, file.height - row)))
        for start in range(0, len(pixels), step):
            yield Strip(row + start, lookup[pixels[start : start + step]])


def _run_areas(pixel_area: PixelArea | None, rows: Ints, columns: Ints, lengths: Ints) -> Floats:
    """Areas of runs of pixels in steps, by Simpson's rule along each run; NaN without a CRS."""
    if pixel_area is None:
        return np.full(len(rows), np.nan)
    middle = rows + 0.5
    ends = pixel_area.area_m2(middle, columns + 0.5) + pixel_area.area_m2(middle, columns + lengths - 0.5)
    mean = (ends + 4 * pixel_area.area_m2(middle, columns + lengths / 2)) / 6
    result: Floats = np.rint(mean * lengths / _step_m2(pixel_area))
    return result


def _step_m2(pixel_area: PixelArea) -> float:
    return pixel_area.width_m * pixel_area.height_m / _STEPS


def _select(outlines: Outlines, options: Vectors, areas_m2: Floats) -> Outlines:
    """Without objects that are too small, and with holes filled unless the shapes are simplified first."""
    if options.min_area:
        outlines = outlines.pick(~(areas_m2 < options.min_area))
        areas_m2 = areas_m2[~(areas_m2 < options.min_area)]
    return outlines if options.simplify is not None else _fill_holes(outlines, options, areas_m2)


def _fill_holes(outlines: Outlines, options: Vectors, areas_m2: Floats) -> Outlines:
    """Without the holes that `options` fill."""
    if options.holes == "keep" or not len(outlines.owners):
        return outlines
    outer = np.diff(outlines.owners, prepend=-1) > 0
    if options.holes == "fill":
        return outlines.with_rings(outer)
    pixel_m2 = (areas_m2 / outlines.pixels)[outlines.owners]
    return outlines.with_rings(outer | (outlines.ring_pixels() * pixel_m2 >= options.holes.min_area))


def _tolerance(simplify: float | str, pixel_area: PixelArea | None) -> float:
    """Tolerance of the simplification in pixels."""
    if isinstance(simplify, str):
        return float(simplify.removesuffix("px"))
    if pixel_area is None:
        raise ValueError("metres need a CRS")
    return simplify / float(np.sqrt(pixel_area.width_m * pixel_area.height_m))


@dataclass
class _Table:
    """The Parquet file, written in row groups. A context manager."""

    path: Path
    transform: Affine
    wkt: str | None
    names: dict[int, str]
    pixel_area: PixelArea | None
    limits: VectorLimits
    count: int = 0

    def __enter__(self) -> Self:
        corner = ("xmin", "ymin", "xmax", "ymax")
        self._schema = pyarrow.schema(
            [
                ("class", pyarrow.int16()), ("name", pyarrow.string()), ("pixels", pyarrow.int64()),
                ("area_m2", pyarrow.float64()), ("geometry", pyarrow.binary()),
                ("bbox", pyarrow.struct([(name, pyarrow.float64()) for name in corner])),
            ]
        )  # fmt: skip
        # A polygon can have hundreds of megabytes: no dictionary for it, and no statistics, which would hold the largest one.
        with_statistics = ["class", "pixels", "area_m2", *(f"bbox.{name}" for name in corner)]
        self._writer = pyarrow.parquet.ParquetWriter(
            self.path, self._schema, compression="zstd", store_schema=False, use_dictionary=["name"], write_statistics=with_statistics
        )  # fmt: skip
        self._pending: list[pyarrow.Table] = []
        self._bounds: list[Floats] = []
        return self

    def areas(self, outlines: Outlines) -> Floats:
        """Square metres of each object; NaN without a CRS."""
        return outlines.weights * _step_m2(self.pixel_area) if self.pixel_area is not None else outlines.weights

    def add(self, outlines: Outlines) -> None:
        """Append objects. Raises TaskFailed for one that is too large."""
        areas = self.areas(outlines)
        for part, rings in split_objects(outlines):
            values = outlines.values[part]
            boxes = object_bounds(outlines, part, rings, self.transform)
            self._bounds.append(np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]))
            shapes = to_wkb(outlines, rings, self.transform)
            if len(shapes[0]) > self.limits.polygon_bytes:
                raise TaskFailed(
                    f"{self.path}: an object of {self.names[int(values[0])]} takes {len(shapes[0])} bytes, more than Parquet can hold",
                    remedy="name its class in output.vectors.background, or have holes filled",
                )
            columns = [
                pyarrow.array(values.astype(np.int16)),
                pyarrow.array([self.names[value] for value in values.tolist()], pyarrow.string()),
                pyarrow.array(outlines.pixels[part]),
                pyarrow.array(areas[part], mask=np.isnan(areas[part])),
                pyarrow.array(shapes, pyarrow.binary()),
                pyarrow.StructArray.from_arrays(
                    [pyarrow.array(np.ascontiguousarray(each)) for each in boxes.T], fields=list(self._schema.field("bbox").type)
                ),
            ]  # fmt: skip
            del shapes
            self._pending.append(pyarrow.Table.from_arrays(columns, schema=self._schema))
            self.count += len(values)
            self._flush()

    def _flush(self, *, final: bool = False) -> None:
        """Write the row groups that are full, by rows or by bytes; with `final` also the last one."""
        if not self._pending:
            return
        pending = pyarrow.concat_tables(self._pending)
        sizes = np.cumsum(pyarrow.compute.binary_length(pending["geometry"]).to_numpy())
        start, written = 0, 0
        while start < len(sizes):
            stop = min(
                int(np.searchsorted(sizes, written + self.limits.group_bytes)) + 1, start + self.limits.group_rows
            )
            if stop > len(sizes) and not final:
                break
            group = pending.slice(start, stop - start).combine_chunks()
            self._writer.write_table(group, row_group_size=self.limits.group_rows)
            start, written = min(stop, len(sizes)), sizes[min(stop, len(sizes)) - 1]
        self._pending = [pending.slice(start)] if start < len(sizes) else []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush(final=True)
            self._writer.add_key_value_metadata({"geo": json.dumps(self._geo())})
        self._writer.close()

    def _geo(self) -> dict[str, Any]:
        """The file's metadata by the specification of GeoParquet 1.1."""
        column: dict[str, Any] = {
            "encoding": "WKB",
            "crs": CRS.from_wkt(self.wkt).to_json_dict() if self.wkt else None,
            "geometry_types": ["Polygon"],
            "orientation": "counterclockwise",
            "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
        }
        if self._bounds:
            bounds = np.array(self._bounds)
            column["bbox"] = [*bounds[:, :2].min(axis=0).tolist(), *bounds[:, 2:].max(axis=0).tolist()]
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
