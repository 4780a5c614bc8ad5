"""The map's objects as polygons: GeoParquet 1.1, one row for each connected patch of a class."""

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
from swath.maps.vectors.outline import Floats, Ints, Outlines, Strip, Tracer
from swath.maps.vectors.polygon import object_bounds, simplify, split_objects, to_wkb
from swath.spec.fields.output import Holes, Vectors
from swath.storage.durable_write import sync, writing

_READ_PIXELS = 1 << 23
"""What is read from the map at once, in whole rows of its tiles."""
_STRIP_PIXELS = 1 << 20
"""What is traced at once."""
_GROUP_ROWS = 20_000
_GROUP_BYTES = 1 << 25
_LARGEST = 1 << 30
"""Bytes of one polygon."""
_STEPS = 1 << 16
"""Areas of runs are counted in this part of the middle pixel's: whole numbers add up to the same in any order."""


def write_vectors(path: Path, source: Path | str, classes: Legend, wanted: Vectors | None = None) -> int:
    """Write the polygons of a map of classes to `path` and return how many there are.

    `source` is the map's file, or an index of its sheets (see swath.maps.sheets). An object is a patch of pixels of one class
    that are connected through their sides: pixels that touch at a corner only are two objects. Objects are never cut,
    neither at tiles nor at blocks nor at sheets. Classes in the background, and nodata, get none.

    Columns: `class` (value in the map), `name`, `pixels`, `area_m2`, `geometry` in the map's CRS, `bbox` (the covering
    column of GeoParquet 1.1, by which a reader skips what it does not need). `area_m2` is the area on the WGS 84 ellipsoid
    of the object's pixels, not that of the shape in the map's projection; see swath.imagery.geometry.pixel_area.
    It is null where the map has no CRS; `geometry` is then in the map's own pixels. Both tell of the map: filled holes and
    simplification change only `geometry`. Pixels of objects below the smallest area are in no polygon, but in that of an
    object whose hole they fill.

    Rows are ordered by the object's last row in the map, then by its first pixel; the same map gives the same bytes. Polygons are
    valid, outer rings counter-clockwise, and run exactly along the pixels' sides if they are not simplified.

    Memory: what swath.maps.vectors.outline says, and a group of rows; with `simplify` all polygons, about 150 bytes for each point.
    Raises TaskFailed when `path` cannot be written, or when an area is asked for and the map has no CRS.
    """
    wanted = wanted or Vectors()
    if not classes:
        raise ValueError("a map of values has no objects")
    if strangers := set(wanted.background) - {each.name for each in classes}:
        raise TaskFailed(
            f"{path}: no class is called {', '.join(sorted(strangers))}",
            remedy=f"output.vectors.background names classes of the model: {', '.join(each.name for each in classes)}",
        )
    with gdal_write_env(), open_map(source) as file:
        wkt = file.crs.to_wkt() if file.crs else None
        ground = PixelArea.of(GeoBox(file.shape, file.transform, wkt))
        if ground is None and (
            wanted.min_area or isinstance(wanted.holes, Holes) or isinstance(wanted.simplify, float)
        ):
            raise TaskFailed(
                f"{path}: the map has no CRS, so nothing in it has a size in metres",
                remedy="leave out min_area and the areas of holes, and give simplify in pixels, such as 1px",
            )
        made = _Rows(path, file.transform, wkt, {each.value: each.name for each in classes}, ground)
        values = [each.value for each in classes if each.name not in wanted.background]
        with writing_raster(path), made:
            found = (_wanted(each, wanted, made.areas(each)) for each in _traced(file, values, ground, wanted))
            if wanted.simplify is None:
                for outlines in found:
                    made.add(outlines)
            else:
                outlines = simplify(list(found), _tolerance(wanted.simplify, ground))
                made.add(_filled(outlines, wanted, made.areas(outlines)))
        with writing(path):
            sync(path)
    return made.count


def _traced(
    file: rasterio.io.DatasetReader, values: list[int], ground: PixelArea | None, wanted: Vectors
) -> Iterator[Outlines]:
    """The objects of a map as they end."""
    tracer = Tracer(
        file.width,
        lambda rows, columns, lengths: _run_areas(ground, rows, columns, lengths),
        noded=wanted.simplify is not None,
    )
    for strip in _strips(file, values):
        yield tracer.take(strip)
    yield tracer.finish()


def _strips(file: rasterio.io.DatasetReader, values: list[int]) -> Iterator[Strip]:
    """The map from top to bottom, some rows at a time."""
    keep = np.full(256, -1, dtype=np.int16)
    keep[values] = values
    if file.nodata is not None and 0 <= file.nodata <= 255:
        keep[int(file.nodata)] = -1
    step = max(1, _STRIP_PIXELS // file.width)
    tile = file.block_shapes[0][0]
    height = max(1, _READ_PIXELS // file.width // tile) * tile
    for row in range(0, file.height, height):
        pixels = file.read(1, window=RasterWindow(0, row, file.width, min(height, file.height - row)))
        for start in range(0, len(pixels), step):
            yield Strip(row + start, keep[pixels[start : start + step]])


def _run_areas(ground: PixelArea | None, rows: Ints, columns: Ints, lengths: Ints) -> Floats:
    """Areas of runs of pixels in steps, by Simpson's rule along each run; NaN without a CRS."""
    if ground is None:
        return np.full(len(rows), np.nan)
    middle = rows + 0.5
    ends = ground.area_m2(middle, columns + 0.5) + ground.area_m2(middle, columns + lengths - 0.5)
    mean = (ends + 4 * ground.area_m2(middle, columns + lengths / 2)) / 6
    result: Floats = np.rint(mean * lengths / _step_m2(ground))
    return result


def _step_m2(ground: PixelArea) -> float:
    return ground.width_m * ground.height_m / _STEPS


def _wanted(outlines: Outlines, wanted: Vectors, areas_m2: Floats) -> Outlines:
    """Without objects that are too small; and without holes that are to be filled, if the shapes are not simplified first."""
    if wanted.min_area:
        outlines = outlines.of(~(areas_m2 < wanted.min_area))
        areas_m2 = areas_m2[~(areas_m2 < wanted.min_area)]
    return outlines if wanted.simplify is not None else _filled(outlines, wanted, areas_m2)


def _filled(outlines: Outlines, wanted: Vectors, areas_m2: Floats) -> Outlines:
    """Without the holes that are to be filled."""
    if wanted.holes == "keep" or not len(outlines.owners):
        return outlines
    outer = np.diff(outlines.owners, prepend=-1) > 0
    if wanted.holes == "fill":
        return outlines.with_rings(outer)
    pixel_m2 = (areas_m2 / outlines.pixels)[outlines.owners]
    return outlines.with_rings(outer | (outlines.ring_pixels() * pixel_m2 >= wanted.holes.min_area))


def _tolerance(simplify: float | str, ground: PixelArea | None) -> float:
    """In pixels."""
    if isinstance(simplify, str):
        return float(simplify.removesuffix("px"))
    if ground is None:
        raise ValueError("metres need a CRS")
    return simplify / float(np.sqrt(ground.width_m * ground.height_m))


@dataclass
class _Rows:
    """The file, written in groups of rows. A context manager."""

    path: Path
    transform: Affine
    wkt: str | None
    names: dict[int, str]
    ground: PixelArea | None
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
        # A polygon can have hundreds of megabytes: it must not be in a dictionary, nor in the footer as the largest of its column.
        told = ["class", "pixels", "area_m2", *(f"bbox.{name}" for name in corner)]
        self._writer = pyarrow.parquet.ParquetWriter(
            self.path, self._schema, compression="zstd", store_schema=False, use_dictionary=["name"], write_statistics=told
        )  # fmt: skip
        self._waiting: list[pyarrow.Table] = []
        self._bounds: list[Floats] = []
        return self

    def areas(self, outlines: Outlines) -> Floats:
        """Square metres of each object; NaN without a CRS."""
        return outlines.weights * _step_m2(self.ground) if self.ground is not None else outlines.weights

    def add(self, outlines: Outlines) -> None:
        """The next objects."""
        areas = self.areas(outlines)
        for part, rings in split_objects(outlines):
            values = outlines.values[part]
            boxes = object_bounds(outlines, part, rings, self.transform)
            self._bounds.append(np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]))
            shapes = to_wkb(outlines, rings, self.transform)
            if len(shapes[0]) > _LARGEST:
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
            self._waiting.append(pyarrow.Table.from_arrays(columns, schema=self._schema))
            self.count += len(values)
            self._flush()

    def _flush(self, *, all_of_it: bool = False) -> None:
        """Write the groups of rows that are full: of so many rows, or with the row that makes it so many bytes."""
        if not self._waiting:
            return
        waiting = pyarrow.concat_tables(self._waiting)
        sizes = np.cumsum(pyarrow.compute.binary_length(waiting["geometry"]).to_numpy())
        start, written = 0, 0
        while start < len(sizes):
            stop = min(int(np.searchsorted(sizes, written + _GROUP_BYTES)) + 1, start + _GROUP_ROWS)
            if stop > len(sizes) and not all_of_it:
                break
            group = waiting.slice(start, stop - start).combine_chunks()
            self._writer.write_table(group, row_group_size=_GROUP_ROWS)
            start, written = min(stop, len(sizes)), sizes[min(stop, len(sizes)) - 1]
        self._waiting = [waiting.slice(start)] if start < len(sizes) else []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush(all_of_it=True)
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
