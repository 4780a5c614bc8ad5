"""Footprints: polygons of grids and areas, transformed between CRSs with curved edges, and split at the antimeridian."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.affinity import translate
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from swath.errors import ImageryError

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.area import Area

SEGMENTS = 512
"""Before a transformation edges are cut into segments of at most the polygon's extent divided by this, as they become curves."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Any:
    """pyproj's Transformer, with x before y. Raises ImageryError for CRSs that cannot be transformed, such as one of the Moon."""
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise ImageryError(
            f"there is no transformation from the coordinate reference system {_named(source)} to {_named(target)}",
            remedy="Georeference the files of one of them again, or name its CRS in the spec (crs).",
        ) from error


def _named(crs: str) -> str:
    return repr(crs if len(crs) <= 80 else f"{crs[:77]}...")


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry).tolist() if isinstance(part, Polygon) and not part.is_empty]


def _merge(parts: list[Polygon]) -> BaseGeometry:
    merged = shapely.union_all(shapely.make_valid(np.array(parts, dtype=object))) if parts else MultiPolygon()
    return MultiPolygon([p for g in shapely.get_parts(merged) for p in _polygons(g)])


def _segmentize(geometry: BaseGeometry) -> BaseGeometry:
    west, south, east, north = geometry.bounds
    return shapely.segmentize(geometry, max(east - west, north - south) / SEGMENTS)


def _transform(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    return np.column_stack(transformer(source, target).transform(points[:, 0], points[:, 1]))


def to_degrees(geometry: BaseGeometry, crs: str, *, wrapped: bool = False) -> BaseGeometry:
    """A polygon in `crs` as longitude and latitude, split at the antimeridian: each part within [-180, 180].

    Longitudes of a geographic `crs` are not changed; with `wrapped`, an edge longer than 180 degrees stands for the shorter way
    around the Earth instead, as it is often written. Raises ValueError outside of the domain of `crs`.
    """
    degrees = _is_geographic(crs)
    if not degrees:
        geometry = _segmentize(geometry)
    unwrap = not degrees or (wrapped and geometry.bounds[2] - geometry.bounds[0] < 359.9)

    def transform_ring(ring: BaseGeometry) -> NDArray[np.float64]:
        points = shapely.get_coordinates(ring)
        transformed = _transform(points, crs, "EPSG:4326")
        if not np.isfinite(transformed).all():
            raise ValueError(f"the polygon reaches outside of where {crs} is defined")
        if degrees:  # a change of datum is some metres; anything more is pyproj's wrapping
            transformed[:, 0] += 360 * np.round((points[:, 0] - transformed[:, 0]) / 360)
        return _unwrapped(transformed) if unwrap else transformed

    parts: list[Polygon] = []
    for polygon in _polygons(geometry):
        shell = transform_ring(polygon.exterior)
        flat = shapely.make_valid(Polygon(shell))
        holes = []
        for interior in polygon.interiors:
            hole = transform_ring(interior)
            shifts = round((shell[:, 0].mean() - hole[:, 0].mean()) / 360)
            holes.append(shapely.make_valid(Polygon(hole + np.array([360.0 * shifts, 0.0]))))
        if holes:  # at once: one by one takes minutes for thousands of holes
            flat = flat.difference(shapely.union_all(holes))
        for shift in (-360, 0, 360):
            inside = translate(flat, shift).intersection(box(-180, -90, 180, 90))
            parts += [p for g in shapely.get_parts(inside) for p in _polygons(g)]
    return _merge(parts)


def _unwrapped(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed ring of degrees without jumps of 360; a ring around a pole is closed along that pole."""
    steps = np.diff(ring[:, 0])
    shifts = -np.round(steps / 360)
    lon = ring[:, 0] + np.concatenate([[0.0], np.cumsum(shifts)]) * 360
    ring = np.column_stack([lon, ring[:, 1]])
    if abs(lon[-1] - lon[0]) > 180:
        pole = 90.0 if ring[:, 1].mean() > 0 else -90.0
        ring = np.vstack([ring, [[lon[-1], pole], [lon[0], pole], ring[0]]])
    return ring


@lru_cache(maxsize=256)
def _is_geographic(crs: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


def grid_polygon(grid: GeoBox) -> Polygon:
    """The outline of a grid in its own CRS."""
    height, width = grid.shape
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    return Polygon([grid.affine @ corner for corner in corners])


@lru_cache(maxsize=4096)
def grid_footprint(grid: GeoBox) -> BaseGeometry:
    """The footprint of a grid in longitude and latitude, split at the antimeridian."""
    return to_degrees(grid_polygon(grid), str(grid.crs))


def _shape(area: Area) -> BaseGeometry:
    return shapely.from_wkt(area.wkt)


@lru_cache(maxsize=64)
def area_footprint(area: Area) -> BaseGeometry:
    """An area in longitude and latitude, split at the antimeridian."""
    return to_degrees(_shape(area), area.crs)


@lru_cache(maxsize=64)
def area_pixels(area: Area, image: GeoBox) -> BaseGeometry:
    """An area in pixel coordinates (column, row) of `image`, not clipped to the image; empty when the two do not meet.

    The result depends on the whole image only, so masks of neighbouring blocks fit without a gap.
    """
    crs = str(image.crs)
    if _same_crs(area.crs, crs):
        footprint: BaseGeometry = _shape(area)
    else:
        footprint = _clip_near(area_footprint(area), image)
        footprint = _merge([p for part in _polygons(footprint) for p in _project(part, crs)])
    if _is_geographic(crs):
        # The image may have longitudes beyond 180, or the area may.
        west, _, east, _ = grid_polygon(image).bounds
        shifted = [translate(footprint, shift) for shift in (-360, 0, 360)]
        footprint = _merge([p for g in shifted if g.bounds[0] < east and g.bounds[2] > west for p in _polygons(g)])
    return shapely.transform(footprint, lambda points: _apply(~image.affine, points))


def _clip_near(degrees: BaseGeometry, image: GeoBox) -> BaseGeometry:
    """The part of an area around an image: far outside of its domain a projection gives no usable coordinates."""
    around = grid_footprint(image)
    west, south, east, north = around.bounds
    margin = 0.05 * max(min(east - west, 360.0), north - south) + 0.01
    near = shapely.union_all([translate(around.buffer(margin), shift) for shift in (-360, 0, 360)])
    return degrees if near.contains(degrees) else _segmentize(degrees).intersection(near)


def _project(polygon: Polygon, crs: str) -> list[Polygon]:
    transformed = shapely.transform(_segmentize(polygon), lambda points: _transform(points, "EPSG:4326", crs))
    return _polygons(transformed) if np.isfinite(shapely.get_coordinates(transformed)).all() else []


@lru_cache(maxsize=256)
def _same_crs(one: str, other: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True))


def _apply(affine: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = points[:, 0], points[:, 1]
    with np.errstate(invalid="ignore", over="ignore"):  # of points that cannot be transformed
        return np.column_stack([affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f])


def extent_pixels(band: GeoBox, image: GeoBox) -> tuple[float, float, float, float]:
    """Bounds (left, top, right, bottom) of a band's grid in pixels of the image grid; not finite when it cannot be transformed."""
    west, south, east, north = grid_polygon(band).bounds
    # A grid that is very tall and narrow gets no more than some thousand points.
    try:
        edge = shapely.segmentize(grid_polygon(band), max((east - west) / 64, (north - south) / 4096, 1e-12 / 64))
    except shapely.errors.GEOSException:  # one side is 2^31 times the other, of a damaged file
        return (math.nan,) * 4
    points = shapely.get_coordinates(edge)
    if band.crs != image.crs:
        points = _transform(points, str(band.crs), str(image.crs))
    pixels = _apply(~image.affine, points)
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def resolution_in(band: GeoBox, crs: str) -> float:
    """The pixel size in units of `crs` at which the diagonal of a grid has as many pixels as it has now."""
    height, width = band.shape
    ends = np.array([band.affine @ (0, 0), band.affine @ (width, height)])
    first, last = _transform(ends, str(band.crs), crs)
    return float(np.hypot(*(last - first)) / np.hypot(height, width))
