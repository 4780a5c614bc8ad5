"""The polygons of a map in other formats: GeoPackage and FlatGeobuf, copied from the GeoParquet file in batches."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, GeometryError
from pyproj import CRS

from swath.spec.fields.output import VectorFormat
from swath.storage.durable_write import sync, writing

DRIVERS: dict[VectorFormat, tuple[str, str]] = {"geopackage": (".gpkg", "GPKG"), "flatgeobuf": (".fgb", "FlatGeobuf")}
"""Suffix, and GDAL's driver."""
COLUMNS = ("class", "name", "pixels", "area_m2", "geometry")
_ERRORS = (DataSourceError, DataLayerError, FeatureError, GeometryError)
_BATCH = 4096
"""Rows that are in memory at a time."""
_DATE = "2000-01-01T00:00:00.000Z"
"""A GeoPackage holds the time when it was written; with a fixed one equal polygons give an equal file."""


def copy_vectors(parquet: Path, kind: VectorFormat) -> Path:
    """Write the polygons of a GeoParquet file beside it in another format, with all columns but `bbox`, which these formats index
    themselves. Returns the new file's path; raises TaskFailed when it cannot be written."""
    suffix, driver = DRIVERS[kind]
    path = parquet.with_suffix(suffix)
    with pyarrow.parquet.ParquetFile(parquet) as file:
        reader = pyarrow.RecordBatchReader.from_batches(
            pyarrow.schema([file.schema_arrow.field(name) for name in COLUMNS]), _batches(file)
        )
        crs = json.loads(file.metadata.metadata[b"geo"])["columns"]["geometry"]["crs"]
        before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": _DATE})
        try:
            with writing(path, *_ERRORS), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*crs.* was not provided")
                pyogrio.write_arrow(
                    reader, path, layer=parquet.stem, driver=driver, geometry_name="geometry", geometry_type="Polygon",
                    crs=_wkt(crs),
                )  # fmt: skip
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})
    with writing(path):
        sync(path)
    return path


def _batches(file: pyarrow.parquet.ParquetFile) -> Iterator[pyarrow.RecordBatch]:
    for batch in file.iter_batches(_BATCH, columns=list(COLUMNS)):
        yield batch.select(list(COLUMNS))


def _wkt(crs: Any) -> str | None:
    return None if crs is None else CRS.from_json_dict(crs).to_wkt()
