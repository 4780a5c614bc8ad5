"""The geometry of an area: boxes, WKT, GeoJSON and vector files become one valid polygon, split at the antimeridian.

shapely, pyproj and pyogrio are imported inside the functions, so that specs without an area load fast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.errors import AreaError
from swath.spec.fields.crossings import MOST_CROSSINGS, has_too_many_crossings
from swath.spec.fields.vector_content import VectorFileError
from swath.spec.fields.vector_file import read_features, read_info
from swath.spec.locations import absolute, is_missing, special_file

if TYPE_CHECKING:
    from pyproj import CRS
    from shapely import Polygon
    from shapely.geometry.base import BaseGeometry

LONLAT = "EPSG:4326"
GEOJSON_TYPES = (
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
    "Feature",
    "FeatureCollection",
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
)

_WKT = re.compile(
    r"\s*(?:SRID=(?P<srid>\d+);)?\s*(?P<body>(?:MULTI)?(?:POLYGON|POINT|LINESTRING|GEOMETRYCOLLECTION)"
    r"\s*(?:Z|M|ZM)?\s*(?:\(|EMPTY).*)",
    re.IGNORECASE | re.DOTALL,
)


_NOT_WKT = "cannot be read as WKT; expected a polygon such as POLYGON ((30 10, 40 40, 20 40, 30 10))"


class AreaFieldError(AreaError):
    """An error in one field (`part`) of an area's mapping.

    `{path}` in the message stands for the absolute path, which is separate so that the message of a spec can mask it.
    """

    def __init__(self, message: str, part: str, *, path: str = "") -> None:
        super().__init__(message.replace("{path}", path) if path else message)
        self.part, self.template, self.path = part, message, path


@dataclass(frozen=True)
class AreaGeometry:
    """A valid, non-empty polygon or multipolygon."""

    wkt: str
    crs: str
    """Authority code, or WKT if it has none. Axes are x, y."""
    source: str
    """The file, or the form in which it was given."""
    notes: tuple[str, ...] = ()
    """Repairs and assumptions."""


def is_wkt(text: str) -> bool:
    """Whether a text is a geometry as WKT; otherwise it is a path."""
    return _WKT.fullmatch(text) is not None


def from_bbox(bbox: Sequence[float], crs: str = LONLAT) -> AreaGeometry:
    """Of (west, south, east, north) in units of `crs`. In degrees, west > 0 > east crosses the antimeridian. Raises AreaError."""
    from shapely import box

    system = _crs(crs)
    west, south, east, north = bbox
    if south >= north:
        raise AreaFieldError(
            f"south ({south}) is not below north ({north}); the order is west, south, east, north", "bbox"
        )
    if west > 0 > east and system.is_geographic:
        east += 360
    if west >= east:
        raise AreaFieldError(
            f"west ({west}) is not left of east ({east}); the order is west, south, east, north"
            + ("; a box across 180 degrees has a positive west and a negative east" if system.is_geographic else ""),
            "bbox",
        )
    middle = (west + east) / 2  # edges of more than 180 degrees are read as going around the other way
    boxes = [box(west, south, middle, north), box(middle, south, east, north)]
    wide = system.is_geographic and east - west > 180
    return _shape(boxes if wide else [box(west, south, east, north)], system, "bbox", "{bbox: ..., crs: EPSG:...}")


def from_wkt(text: str, crs: str | None = None) -> AreaGeometry:
    """Of a polygon as WKT, in `crs`, else in the CRS of its `SRID=`, else in degrees. Raises AreaError."""
    import shapely

    match = _WKT.fullmatch(text)
    try:
        geometry = shapely.from_wkt(match["body"]) if match else None
    except shapely.GEOSException as error:
        raise AreaFieldError(_NOT_WKT, "wkt") from error  # the message of GEOS may quote a value of the environment
    if match is None or geometry is None:
        raise AreaFieldError(_NOT_WKT, "wkt")
    srid = f"EPSG:{match['srid']}" if match["srid"] else LONLAT
    return _shape([geometry], _crs(crs or srid), "WKT", "{wkt: ..., crs: EPSG:...}")


def from_geojson(value: dict[str, Any]) -> AreaGeometry:
    """Of a GeoJSON geometry, Feature or FeatureCollection as plain data; its legacy `crs` member is respected.

    Raises AreaError.
    """
    import shapely

    try:
        geometries = [shapely.from_geojson(json.dumps(geometry)) for geometry in _geometries(value)]
    except (shapely.GEOSException, ValueError, TypeError) as error:
        raise AreaError(f"this GeoJSON cannot be read: {error}") from error
    return _shape(geometries, _crs(_legacy_crs(value)), "GeoJSON", "a crs member")


def from_file(
    path: str,
    root: Path,
    *,
    layer: str | None = None,
    where: str | None = None,
    crs: str | None = None,
) -> AreaGeometry:
    """Of the polygons of a vector file that GDAL reads, in the CRS of the file.

    path: absolute, relative to `root`, or a URL. layer: required if there are several. where: an SQL condition.
    crs: used instead of that of the file. Raises AreaError.
    """
    found = absolute(path, root)
    if is_missing(found):
        raise AreaFieldError("there is no such file: {path}", "path", path=found)
    if what := special_file(found):
        raise AreaFieldError(f"{{path}} is {what}, not a file or folder; give the path of a file", "path", path=found)
    try:
        info = read_info(found, layer, f"{{path: {path}, layer: ...}}")
        geometries, _ = read_features(found, info.layer, where)
    except VectorFileError as error:
        raise AreaFieldError(f"{path} {error}", error.field) from error
    own, notes = _crs_of_file(info.crs, path, crs), []
    if own is None and crs is None:
        notes.append(f"{path} has no CRS: read as degrees")
    if own is not None and crs is not None and _crs(crs) != own:
        notes.append(f"read as {crs}, though the CRS of {path} is {_code(own)}")
    if len(geometries) == 0:
        raise AreaFieldError(
            f"{path} has no features" + (" that meet the condition" if where else ""), "where" if where else "path"
        )
    return _shape(
        geometries,
        own if own is not None and crs is None else _crs(crs or LONLAT),
        path,
        "{path: ..., crs: EPSG:...}",
        notes,
    )


def _geometries(value: Any) -> Iterable[dict[str, Any]]:
    """Every geometry object in a GeoJSON object."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "FeatureCollection":
        features = value.get("features")
        if not isinstance(features, list):
            raise ValueError("a FeatureCollection needs a list of features")
        for feature in features:
            yield from _geometries(feature)
    elif kind == "Feature":
        if value.get("geometry") is not None:
            yield from _geometries(value["geometry"])
    elif kind in GEOJSON_TYPES:
        yield value
    else:
        raise ValueError(f"{kind!r} is not a type of GeoJSON")


def _legacy_crs(value: dict[str, Any]) -> str:
    """The name in the `crs` member of GeoJSON from before RFC 7946; degrees without one."""
    member = value.get("crs")
    if member is None:
        return LONLAT
    properties = member.get("properties") if isinstance(member, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str):
        raise AreaFieldError("the crs member is written {type: name, properties: {name: EPSG:...}}", "crs")
    return name


def _crs(text: str) -> CRS:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise AreaFieldError(
            f"there is no coordinate reference system {text!r}; write a code such as EPSG:32633", "crs"
        ) from error


def _crs_of_file(text: str | None, path: str, instead: str | None) -> CRS | None:
    """The CRS that a file names; None without one, or for one that is not known where the spec gives another."""
    if text is None:
        return None
    try:
        return _crs(text)
    except AreaFieldError as error:
        if instead is not None:
            return None
        raise AreaFieldError(
            f"{path} names a coordinate reference system that is not known; give it with {{path: {path}, crs: EPSG:...}}",
            "path",
        ) from error


def _code(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=100)
    code = ":".join(authority) if authority else crs.to_wkt()
    return LONLAT if code == "OGC:CRS84" else code


def _shape(
    geometries: Iterable[BaseGeometry | None], crs: CRS, source: str, form: str, notes: Sequence[str] = ()
) -> AreaGeometry:
    """One valid geometry of many. `form` is how a spec gives another CRS."""
    import shapely

    found = list(notes)
    polygons = _polygons(geometries, source)
    if crs.is_geographic:
        _check_degrees(polygons, source, form)
        polygons = [_unwrapped(polygon, source, found) for polygon in polygons]
    if has_too_many_crossings(polygons):
        vertices = (shapely.get_num_coordinates(shapely.get_rings(polygons)) - 1).sum()
        raise AreaError(
            f"{source}: the edges of this area ({vertices:,} vertices) cross each other "
            f"more than {MOST_CROSSINGS:,} times, too often to be repaired",
            remedy="Check the order of its vertices, or give their outline, such as shapely's concave_hull.",
        )
    reasons = dict.fromkeys(shapely.is_valid_reason(polygon) for polygon in polygons if not polygon.is_valid)
    found += [f"repaired: {reason}" for reason in list(reasons)[:5]]
    union = _only_polygons(shapely.union_all([shapely.make_valid(polygon) for polygon in polygons]))
    if crs.is_geographic:
        union = _split(union, found)
    if union.is_empty or not union.area > 0:
        raise AreaError(f"{source}: the area is empty")
    return AreaGeometry(shapely.normalize(union).wkt, _code(crs), source, tuple(dict.fromkeys(found)))


def _polygons(geometries: Iterable[BaseGeometry | None], source: str) -> list[Polygon]:
    """The single polygons of all geometries, in two dimensions. Raises AreaError for points and lines."""
    import numpy as np
    import shapely

    polygons: list[Polygon] = []
    pending: list[Any] = [geometry for geometry in geometries if geometry is not None and not geometry.is_empty]
    while pending:
        geometry = pending.pop()
        if geometry.geom_type == "Polygon":
            polygons.append(shapely.force_2d(geometry))
        elif geometry.geom_type in ("MultiPolygon", "GeometryCollection"):
            pending.extend(part for part in geometry.geoms if not part.is_empty)
        else:
            raise AreaError(f"{source}: expected polygons, found a {geometry.geom_type}", remedy="Buffer it first.")
    if not polygons:
        raise AreaError(f"{source}: the area is empty")
    if not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise AreaError(f"{source}: a coordinate is not a finite number")
    return polygons


def _only_polygons(geometry: BaseGeometry) -> BaseGeometry:
    """Without the points and lines that a repair or a cut may give."""
    import shapely

    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return geometry
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])


def _check_degrees(polygons: list[Polygon], source: str, form: str) -> None:
    import shapely

    west, south, east, north = shapely.total_bounds(polygons)
    if west < -360 or east > 360 or south < -90 or north > 90:
        swapped = west >= -90 and east <= 90 and south >= -360 and north <= 360
        raise AreaError(
            f"{source}: {west:.6g}, {south:.6g}, {east:.6g}, {north:.6g} are not degrees of longitude and latitude",
            remedy="Swapped? Longitude comes first, then latitude."
            if swapped
            else f"If they are metres, give the CRS with {form}.",
        )


def _unwrapped(polygon: Polygon, source: str, notes: list[str]) -> Polygon:
    """The polygon with continuous longitudes, beyond 180 degrees if its rings jump across the antimeridian.

    An edge longer than 180 degrees is such a jump, as for most readers, unless it goes from -180 to 180.
    """
    import numpy as np
    import shapely

    west, _, east, _ = polygon.bounds
    if east - west <= 180:
        return polygon
    rings = [_unwrapped_ring(shapely.get_coordinates(ring), source) for ring in (polygon.exterior, *polygon.interiors)]
    if not any(jumped for _, jumped in rings):
        return polygon
    notes.append("a ring that jumps over the antimeridian is read as crossing it")
    shell = rings[0][0]
    holes = []
    for hole, _ in rings[1:]:
        turns = round((shell[:, 0].mean() - hole[:, 0].mean()) / 360)
        holes.append(hole + np.array([360 * turns, 0]))
    return shapely.Polygon(shell, holes)


def _unwrapped_ring(ring: Any, source: str) -> tuple[Any, bool]:
    """Coordinates (n, 2) of a ring with continuous longitudes, and whether there was a jump."""
    import numpy as np

    lon = ring[:, 0]
    step = np.diff(lon)
    whole_turn = (np.abs(lon[1:]) == 180) & (np.abs(lon[:-1]) == 180)
    jump = (np.abs(step) > 180) & ~whole_turn
    turns = np.concatenate([[0], np.cumsum(-np.sign(step) * jump)])
    if turns[-1] != 0:
        raise AreaError(
            f"{source}: the area goes round a pole", remedy="Give it in a polar CRS, such as EPSG:3413 or EPSG:3031."
        )
    return np.column_stack([lon + 360 * turns, ring[:, 1]]), bool(jump.any())


def _split(geometry: BaseGeometry, notes: list[str]) -> BaseGeometry:
    """Every part within [-180, 180] degrees: parts beyond are cut off and shifted by 360 degrees."""
    import numpy as np
    import shapely
    from shapely.affinity import translate

    west, _, east, _ = geometry.bounds if not geometry.is_empty else (0, 0, 0, 0)
    if west >= -180 and east <= 180:
        return geometry
    notes.append("split at the antimeridian")
    pieces = []
    for turn in range(int(np.floor((west + 180) / 360)), int(np.floor((east + 180) / 360)) + 1):
        piece = shapely.intersection(geometry, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        pieces.append(translate(piece, -360 * turn))
    return _only_polygons(shapely.union_all(pieces))
