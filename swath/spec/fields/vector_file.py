"""Vector files: the layer that is read, and its features as shapely geometries; GDAL's formats, and GeoParquet by pyarrow."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.spec.fields.vector_content import VectorFileError, check_content, check_driver
from swath.spec.spelling import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUFFIXES = (
    ".shp",
    ".gpkg",
    ".geojson",
    ".json",
    ".geojsonl",
    ".fgb",
    ".gml",
    ".kml",
    ".tab",
    ".mif",
    ".sqlite",
    ".gpx",
)
"""Of vector files that are looked for in an archive."""
_PARQUET = b"PAR1"
"""First bytes of a Parquet file."""


@dataclass(frozen=True)
class VectorInfo:
    """What a vector file says of its features."""

    layer: str | None
    """The layer that is read; None for a GeoParquet file, which has no layers."""
    crs: str | None
    """As an authority code or WKT; None when the file does not say it."""
    fields: tuple[str, ...]
    """Names of the attributes."""
    driver: str
    """GDAL's name of the format, or Parquet."""
    count: int
    """Number of features; -1 when it is not known."""
    bounds: tuple[float, float, float, float] | None
    """(west, south, east, north) of all features, in the CRS; None when the file does not say it."""


def read_info(path: str, layer: str | None, choose: str = "layer") -> VectorInfo:
    """The layer to read, its CRS and its attributes. `choose` is how the spec names a layer. Raises VectorFileError."""
    import pyogrio

    with _reading(), warnings.catch_warnings():
        if is_parquet(path):
            return _parquet_info(path, layer)
        check_content(path)
        path = _inside_zip(path)
        warnings.simplefilter("ignore", RuntimeWarning)  # GDAL's remarks on a file that it can read
        name = choose_layer(pyogrio.list_layers(path), layer, choose)
        facts = pyogrio.read_info(path, layer=name, force_total_bounds=True)
        check_driver(facts["driver"])
    bounds = facts["total_bounds"]
    return VectorInfo(
        name, facts["crs"], tuple(map(str, facts["fields"])), facts["driver"], int(facts["features"]),
        tuple(bounds) if bounds is not None and all(map(math.isfinite, bounds)) else None,
    )  # fmt: skip


def read_features(
    path: str, layer: str | None, where: str | None, columns: Sequence[str] = ()
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """Geometries in two dimensions, and the values of each of `columns`. Raises VectorFileError."""
    with _reading(where):
        return _features(path, layer, where, columns)


def _features(
    path: str, layer: str | None, where: str | None, columns: Sequence[str]
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    import shapely

    if is_parquet(path):
        if where is not None:
            raise VectorFileError(
                "is GeoParquet, which is read without a condition; convert it to GeoPackage, or select its rows before",
                "where",
            )
        table = _parquet(path, [_geometry_column(path), *columns])
        wkb, *values = (table.column(n).to_numpy(zero_copy_only=False) for n in range(table.num_columns))
        return shapely.force_2d(shapely.from_wkb(wkb)), values
    import pyogrio

    check_content(path)
    path = _inside_zip(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        _, _, wkb, values = pyogrio.raw.read(path, layer=layer, where=where, columns=list(columns), force_2d=True)
    if wkb is None:
        raise VectorFileError("is a table without polygons; name a file or a layer that has some")
    return shapely.from_wkb(wkb), list(values)


@contextlib.contextmanager
def _reading(where: str | None = None) -> Iterator[None]:
    """Inside, what damaged files make libraries raise becomes VectorFileError. The message has none of theirs, which may quote a value
    of the environment."""
    import shapely
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError, GeometryError
    from pyproj.exceptions import CRSError

    try:
        yield
    except VectorFileError:
        raise
    except (
        DataSourceError, DataLayerError, FieldError, GeometryError, CRSError, shapely.GEOSException, zipfile.BadZipFile, zlib.error,
        OSError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError,
        UnboundLocalError,  # of pyogrio, for a CRS without WKT
    ) as error:  # fmt: skip
        if where is not None:
            raise VectorFileError(
                "cannot be read with this condition; write SQL such as name = 'north'", "where"
            ) from error
        raise VectorFileError("cannot be read as a vector file; check it with ogrinfo, or export it again") from error


def choose_layer(layers: Iterable[Sequence[Any]], wanted: str | None, choose: str) -> str:
    """The layer to read, of rows (name, geometry type). Tables without geometry count only where there is nothing else. Raises
    VectorFileError where the choice is not clear."""
    rows = [(str(name), kind) for name, kind in layers]
    names = [name for name, kind in rows if kind is not None] or [name for name, _ in rows]
    if wanted is not None:
        if wanted not in names:
            raise VectorFileError(
                f"has no layer {wanted!r}{did_you_mean(wanted, names)}; it has {', '.join(names)}", "layer"
            )
        return wanted
    if len(names) != 1:
        raise VectorFileError(
            f"has {len(names)} layers; name one with {choose}: {', '.join(names)}"
            if names
            else "has no layers; it is empty"
        )
    return names[0]


def _inside_zip(path: str) -> str:
    """GDAL's path of the one vector file in a folder of a local zip archive; other paths as they are. GDAL itself opens only what lies
    in an archive's root."""
    if not path.lower().endswith(".zip") or not zipfile.is_zipfile(path):
        return path
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    found = [name for name in names if name.lower().endswith(_SUFFIXES)]
    if not found:
        raise VectorFileError(f"is an archive without a vector file; it has {', '.join(names[:5]) or 'nothing'}")
    layers = {Path(name).suffix.lower() for name in found} in (
        {".shp"},
        {".tab"},
        {".mif"},
    )  # read as layers of one folder
    if all("/" not in name for name in found) and (len(found) == 1 or layers):
        return path
    if len(found) > 1:
        raise VectorFileError(f"is an archive of several files; unzip it and name one: {', '.join(found[:20])}")
    return f"/vsizip/{{{Path(path).absolute()}}}/{found[0]}"


def is_parquet(path: str) -> bool:
    """Whether a local file is Parquet, whatever its name."""
    try:
        with Path(path).open("rb") as file:
            return file.read(4) == _PARQUET
    except OSError:
        return False


def _parquet_info(path: str, layer: str | None) -> VectorInfo:
    import pyarrow.parquet
    from pyproj import CRS

    if layer is not None:
        raise VectorFileError("is GeoParquet, which has no layers", "layer")
    schema, rows = pyarrow.parquet.read_schema(path), pyarrow.parquet.read_metadata(path).num_rows
    column = _geometry_facts(schema.metadata)
    crs: str | None = "EPSG:4326"  # by the specification, where the member is missing
    if "crs" in column:
        crs = None
        if column["crs"] is not None:
            system = CRS.from_json_dict(column["crs"])
            authority = system.to_authority(min_confidence=100)
            crs = ":".join(authority) if authority else system.to_wkt()
    name = _geometry_column(path)
    west, south, east, north = map(float, column["bbox"]) if len(column.get("bbox", ())) == 4 else [math.nan] * 4
    bounds = (west, south, east, north) if all(map(math.isfinite, (west, south, east, north))) else None
    return VectorInfo(None, crs, tuple(each for each in schema.names if each != name), "Parquet", rows, bounds)


def _geometry_column(path: str) -> str:
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_schema(path).metadata
    return str(json.loads(metadata[b"geo"])["primary_column"]) if metadata and b"geo" in metadata else ""


def _geometry_facts(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    if not metadata or b"geo" not in metadata:
        raise VectorFileError("is Parquet without geometries (no `geo` metadata); write it as GeoParquet or GeoPackage")
    document = json.loads(metadata[b"geo"])
    column: dict[str, Any] = document["columns"][document["primary_column"]]
    if column.get("encoding") != "WKB":
        raise VectorFileError(
            f"is GeoParquet with geometries as {column.get('encoding')}; write them as WKB, or convert it to GeoPackage"
        )
    return column


def _parquet(path: str, columns: Sequence[str]) -> Any:
    import pyarrow.parquet

    names = pyarrow.parquet.read_schema(path).names
    if missing := [each for each in columns if each not in names]:
        raise VectorFileError(f"has no column {missing[0]!r}; it has {', '.join(names)}")
    return pyarrow.parquet.read_table(path, columns=list(columns))
