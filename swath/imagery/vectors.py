"""The map's objects as polygons: GeoParquet 1.1, one row for each connected patch of a class."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.windows import Window as RasterWindow

from swath.imagery.cog import TILE, gdal_quiet
from swath.imagery.ground import Ground
from swath.imagery.legend import Legend
from swath.imagery.outline import Ints, Outlines, Strip, Tracer
from swath.imagery.writing import sync, writing

_STRIP_PIXELS = 1 << 22
_ROW_GROUP = 50_000


def write_vectors(path: Path, cog: Path, classes: Legend, *, background: Collection[str] = ()) -> int:
    """Write the polygons of a map of classes to `path` and return how many there are.

    An object is a patch of pixels of one class that are connected through their sides: pixels that touch at a corner only
    are two objects. Objects are never cut, neither at tiles nor at blocks. Classes named in `background`, and nodata, get none.

    Columns: `class` (value in the map), `name`, `pixels`, `area_m2`, `geometry` in the map's CRS, `bbox` (the covering
    column of GeoParquet 1.1, by which a reader skips what it does not need). `area_m2` is the area on the WGS 84 ellipsoid
    of the object's pixels, not that of the shape in the map's projection; see swath.imagery.ground. It is null where the map
    has no CRS; `geometry` is then in the map's own pixels.

    Rows are ordered by class, then by the object's first pixel, row by row; the same map gives the same bytes. Polygons are
    valid, run exactly along the pixels' sides, outer rings counter-clockwise.

    Memory: a strip of 4 million pixels, and what swath.imagery.outline says for the corners. Raises TaskFailed when `path`
    cannot be written.
    """
    if not classes:
        raise ValueError("a map of values has no objects")
    strangers = set(background) - {each.name for each in classes}
    if strangers:
        raise ValueError(f"no class is called {', '.join(sorted(strangers))}")
    with gdal_quiet(), rasterio.open(cog) as file:
        transform, wkt = file.transform, file.crs.to_wkt() if file.crs else None
        geobox = GeoBox(file.shape, transform, wkt)
        tracer = Tracer(file.width)
        for strip in _strips(file, [each.value for each in classes if each.name not in background]):
            tracer.take(strip)
    ground = Ground.of(geobox)
    outlines = tracer.finish(lambda rows, columns, lengths: _run_areas(ground, rows, columns, lengths))
    x, y = outlines.columns, outlines.rows
    points = np.stack(
        [transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f], axis=1
    )
    order = np.argsort(outlines.values, kind="stable")  # they are by first pixel already
    names = {each.value: each.name for each in classes}
    table = geopandas.GeoDataFrame(
        {
            "class": outlines.values[order].astype(np.int16),
            "name": np.array([names[value] for value in outlines.values[order].tolist()], dtype=object),
            "pixels": outlines.pixels[order],
            "area_m2": outlines.weights[order],
        },
        geometry=_polygons(outlines, points)[order],
        crs=wkt,
    )
    table["name"] = table["name"].astype("string")
    with writing(path):
        table.to_parquet(
            path,
            index=False,
            compression="zstd",
            schema_version="1.1.0",
            write_covering_bbox=True,
            row_group_size=_ROW_GROUP,
        )
        sync(path)
    return len(table)


def _strips(file: rasterio.io.DatasetReader, values: list[int]) -> Iterator[Strip]:
    """The map from top to bottom, some rows of tiles at a time."""
    keep = np.full(256, -1, dtype=np.int16)
    keep[values] = values
    if file.nodata is not None and 0 <= file.nodata <= 255:
        keep[int(file.nodata)] = -1
    height = max(1, _STRIP_PIXELS // file.width // TILE) * TILE
    for row in range(0, file.height, height):
        window = RasterWindow(0, row, file.width, min(height, file.height - row))
        yield Strip(row, keep[file.read(1, window=window)])


def _run_areas(ground: Ground | None, rows: Ints, columns: Ints, lengths: Ints) -> NDArray[np.float64]:
    """Square metres of runs of pixels, by Simpson's rule along each run; NaN without a CRS."""
    if ground is None:
        return np.full(len(rows), np.nan)
    middle = rows + 0.5
    ends = ground.area_m2(middle, columns + 0.5) + ground.area_m2(middle, columns + lengths - 0.5)
    mean = (ends + 4 * ground.area_m2(middle, columns + lengths / 2)) / 6
    result: NDArray[np.float64] = mean * lengths
    return result


def _polygons(outlines: Outlines, points: NDArray[np.float64]) -> NDArray[np.object_]:
    if not outlines.owners.size:
        return np.empty(0, dtype=object)
    numbers = np.repeat(np.arange(len(outlines.owners)), np.diff(outlines.starts))
    rings = shapely.linearrings(points, indices=numbers)
    polygons = shapely.polygons(np.asarray(rings), indices=outlines.owners)
    return np.asarray(shapely.orient_polygons(polygons))
