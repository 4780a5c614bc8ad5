"""Vector tiles of a map's polygons for web maps, in one PMTiles file (version 3) that any static file server can serve."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError
from pyproj import CRS, Transformer

from swath.errors import TaskFailed
from swath.storage.durable_write import not_written, sync, writing

LAYER = "map"
"""Name of the tiles' one layer."""
_COLUMNS = ["class", "name", "pixels", "area_m2", "geometry"]
_BATCH = 5000
_EQUATOR_M = 2 * math.pi * 6378137.0
_UNITS = 4096
"""Edge of a tile in units of its coordinates."""
_MAX_ZOOM = 22


def write_tiles(
    path: Path, vectors: Path, pixel_m: float, title: str, *, min_zoom: int | None = None, max_zoom: int | None = None
) -> tuple[int, int] | None:
    """Write the polygons of a GeoParquet file (see swath.maps.vectors.geoparquet) as vector tiles; returns the first and the last
    zoom. Without polygons nothing is written, and the result is None.

    Tiles have one layer, `map`, with the fields `class`, `name`, `pixels` and `area_m2`. By default zooms go from the one at which the
    map is not longer than a tile to the one at which a pixel, `pixel_m` metres wide, is two units of a tile's coordinates, so
    that no outline loses its shape; web maps enlarge these tiles for deeper zooms. GDAL makes the tiles: it simplifies outlines at
    lower zooms, each by itself, and leaves details out of tiles of more than 500 kB.

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
    first, last = _zooms(crs, column["bbox"], pixel_m)
    last = max_zoom if max_zoom is not None else max(last, min_zoom or 0)
    first = min_zoom if min_zoom is not None else min(first, last)
    schema = pyarrow.schema([file.schema_arrow.field(name) for name in _COLUMNS])
    batches = (batch.select(_COLUMNS) for batch in file.iter_batches(_BATCH, columns=_COLUMNS))
    with writing(path):
        try:
            pyogrio.write_arrow(
                pyarrow.RecordBatchReader.from_batches(schema, batches),
                path,
                driver="PMTiles",
                layer=LAYER,
                geometry_name="geometry",
                geometry_type="Polygon",
                crs=crs.to_wkt(),
                dataset_options={"NAME": title, "MINZOOM": str(first), "MAXZOOM": str(last), "TYPE": "overlay"},
            )
        except (DataSourceError, DataLayerError, FeatureError) as error:
            raise not_written(path, str(error)) from error
        _check(path, first, last)
        sync(path)
    return first, last


def _zooms(crs: CRS, bbox: list[float], pixel_m: float) -> tuple[int, int]:
    """The zoom at which the map is not longer than a tile, and the one at which a pixel is two units wide."""
    west, south, east, north = Transformer.from_crs(crs, "EPSG:3857", always_xy=True).transform_bounds(
        bbox[0], bbox[1], bbox[2], bbox[3]
    )
    span = min(max(abs(east - west), north - south), _EQUATOR_M)
    stretch = math.cosh((south + north) / 2 / (_EQUATOR_M / 2 / math.pi))  # of the projection, at this latitude
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
