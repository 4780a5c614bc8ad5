"""Vector tiles of a map's polygons for web maps, in one PMTiles file (version 3) that any static file server can serve."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from swath.errors import TaskFailed
from swath.imagery.geometry.footprint import to_degrees, transformer
from swath.storage.durable_write import not_written, sync, writing

LAYER = "map"
"""Name of the tiles' one layer."""
_COLUMNS = ["class", "name", "pixels", "area_m2", "geometry"]
_BATCH = 5000
_EQUATOR_M = 2 * math.pi * 6378137.0
_UNITS = 4096
"""Edge of a tile in units of its coordinates."""
_MAX_ZOOM = 22
_LIMIT_DEG = 85.05112877980659
"""Latitude at which web maps end."""


def write_tiles(
    path: Path, vectors: Path, pixel_m: float, title: str, *, min_zoom: int | None = None, max_zoom: int | None = None
) -> tuple[int, int] | None:
    """Write the polygons of a GeoParquet file (see swath.maps.vectors.geoparquet) as vector tiles; returns the first and the last
    zoom. Without polygons nothing is written, and the result is None.

    Tiles have one layer, `map`, with the fields `class`, `name`, `pixels` and `area_m2`. By default zooms go from the one at which the
    map is not longer than a tile to the one at which a pixel, `pixel_m` metres wide, is two units of a tile's coordinates, so
    that no outline loses its shape; web maps enlarge these tiles for deeper zooms. GDAL makes the tiles: it simplifies outlines at
    lower zooms, each by itself, and leaves details out of tiles of more than 500 kB. Polygons of a map that crosses 180 degrees
    are cut there, and each part lies on its own side of the world.

    Memory: some thousands of polygons at a time; all tiles are on the disk beside `path` for a while. Raises TaskFailed when
    `path` cannot be written, when it does not read back, or when the polygons have no CRS.
    """
    file = pyarrow.parquet.ParquetFile(vectors)
    column = json.loads(file.metadata.metadata[b"geo"])["columns"]["geometry"]
    if column["crs"] is None:
        raise TaskFailed(
            f"{path}: the map has no CRS, so it has no place on a web map", remedy="leave out output.pmtiles"
        )
    if not file.metadata.num_rows:
        return None
    crs = CRS.from_json_dict(column["crs"])
    degrees = to_degrees(shapely.box(*column["bbox"]), crs.to_wkt())
    crossing = degrees.bounds[0] <= -180 and degrees.bounds[2] >= 180
    first, last = _zooms(degrees, pixel_m)
    last = max_zoom if max_zoom is not None else max(last, min_zoom or 0)
    first = min_zoom if min_zoom is not None else min(first, last)
    schema = pyarrow.schema([file.schema_arrow.field(name) for name in _COLUMNS])
    batches = (batch.select(_COLUMNS) for batch in file.iter_batches(_BATCH, columns=_COLUMNS))
    if crossing:
        batches = (_cut_at_antimeridian(batch, crs.to_wkt()) for batch in batches)
    with writing(path):
        try:
            pyogrio.write_arrow(
                pyarrow.RecordBatchReader.from_batches(schema, batches),
                path,
                driver="PMTiles",
                layer=LAYER,
                geometry_name="geometry",
                geometry_type="Unknown" if crossing else "Polygon",
                crs="EPSG:4326" if crossing else crs.to_wkt(),
                dataset_options={"NAME": title, "MINZOOM": str(first), "MAXZOOM": str(last), "TYPE": "overlay"},
            )
        except (DataSourceError, DataLayerError, FeatureError) as error:
            raise not_written(path, str(error)) from error
        _check(path, first, last)
        sync(path)
    return first, last


def _cut_at_antimeridian(batch: pyarrow.RecordBatch, crs: str) -> pyarrow.RecordBatch:
    """The batch with its geometries in degrees, those that cross 180 cut there. Of others only the corners are transformed, as GDAL
    does."""
    shapes = shapely.from_wkb(batch.column("geometry").to_numpy(zero_copy_only=False))
    to_lonlat = transformer(crs, "EPSG:4326")
    flat = shapely.transform(shapes, lambda points: np.column_stack(to_lonlat.transform(points[:, 0], points[:, 1])))
    west, _, east, _ = shapely.bounds(flat).T
    crossing = (west < -180) | (east > 180) | ((east - west > 180) & (not CRS.from_wkt(crs).is_geographic))
    for place in np.flatnonzero(crossing).tolist():
        flat[place] = to_degrees(shapes[place], crs)
    column = pyarrow.array(shapely.to_wkb(flat), pyarrow.binary())
    return batch.set_column(batch.schema.get_field_index("geometry"), batch.schema.field("geometry"), column)


def _zooms(degrees: BaseGeometry, pixel_m: float) -> tuple[int, int]:
    """The zoom at which a map with this footprint is not longer than a tile, and the one at which a pixel is two units wide."""
    west, south, east, north = degrees.bounds
    if west <= -180 and east >= 180:  # split there: its true edges are on the other side of each part
        parts = shapely.bounds(shapely.get_parts(degrees))
        turned = np.where(parts[:, 0] < 0, 360, 0)
        west, east = float((parts[:, 0] + turned).min()), float((parts[:, 2] + turned).max())
    low, high = (math.asinh(math.tan(math.radians(min(max(each, -_LIMIT_DEG), _LIMIT_DEG)))) for each in (south, north))
    span = min(max(math.radians(east - west), high - low) * _EQUATOR_M / (2 * math.pi), _EQUATOR_M)
    stretch = math.cosh((low + high) / 2)  # of the projection, at this latitude
    last = math.ceil(math.log2(_EQUATOR_M / _UNITS / (pixel_m * stretch / 2)))
    first = math.floor(math.log2(_EQUATOR_M / span))
    last = min(max(last, 0), _MAX_ZOOM)
    return min(max(first, 0), last), last


def _check(path: Path, first: int, last: int) -> None:
    """Check the archive's header: tiles, and their zooms; https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md."""
    with path.open("rb") as file:
        header = file.read(127)
        size = file.seek(0, 2)
    if len(header) < 127 or header[:8] != b"PMTiles\x03":
        raise not_written(path, "it is no PMTiles archive")
    tiles, start, length = (struct.unpack_from("<Q", header, at)[0] for at in (72, 56, 64))
    if not tiles or start + length > size or (header[99], header[100], header[101]) != (1, first, last):
        raise not_written(path, f"it holds {tiles} tiles of zooms {header[100]} to {header[101]} in {size} bytes")
