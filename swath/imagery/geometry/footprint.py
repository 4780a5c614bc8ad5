"""Footprints: polygons moved between coordinate systems without losing their curves or tearing at the antimeridian."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon
from shapely.affinity import translate
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from swath.spec.fields.area import Area

SEGMENTS = 512
"""A polygon's longest side is cut into so many pieces before it is moved: its edges bend with the projection."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Any:
    """pyproj's Transformer, x before y."""
    from pyproj import Transformer

    return Transformer.from_crs(source, target, always_xy=True)


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry).tolist() if isinstance(part, Polygon) and not part.is_empty]


def _merge(parts: list[Polygon]) -> BaseGeometry:
    merged = shapely.union_all(shapely.make_valid(np.array(parts, dtype=object))) if parts else MultiPolygon()
    return MultiPolygon([p for g in shapely.get_parts(merged) for p in _polygons(g)])


def _dense(geometry: BaseGeometry) -> BaseGeometry:
    west, south, east, north = geometry.bounds
    return shapely.segmentize(geometry, max(east - west, north - south) / SEGMENTS)


def _moved(points: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    return np.column_stack(transformer(source, target).transform(points[:, 0], points[:, 1]))


def to_degrees(geometry: BaseGeometry, crs: str, *, wrapped: bool = False) -> BaseGeometry:
    """A polygon in `crs` as longitude and latitude, split at the antimeridian: each part within [-180, 180].

    Longitudes of a geographic `crs` are taken as they stand; with `wrapped`, an edge longer than 180 degrees means the
    short way round instead, as it is often written.
    """
    degrees = _is_geographic(crs)
    if not degrees:
        geometry = _dense(geometry)
    unwrap = not degrees or (wrapped and geometry.bounds[2] - geometry.bounds[0] < 359.9)

    def ring_of(ring: BaseGeometry) -> NDArray[np.float64]:
        points = shapely.get_coordinates(ring)
        moved = _moved(points, crs, "EPSG:4326")
        if not np.isfinite(moved).all():
            raise ValueError(f"the polygon reaches outside of where {crs} is defined")
        if degrees:  # the datum moves a point by metres; all else is pyproj's own wrapping
            moved[:, 0] += 360 * np.round((points[:, 0] - moved[:, 0]) / 360)
        return _unwrapped(moved) if unwrap else moved

    parts: list[Polygon] = []
    for polygon in _polygons(geometry):
        shell = ring_of(polygon.exterior)
        flat = shapely.make_valid(Polygon(shell))
        for interior in polygon.interiors:
            hole = ring_of(interior)
            turns = round((shell[:, 0].mean() - hole[:, 0].mean()) / 360)
            flat = flat.difference(shapely.make_valid(Polygon(hole + np.array([360.0 * turns, 0.0]))))
        for turn in (-360, 0, 360):
            inside = translate(flat, turn).intersection(box(-180, -90, 180, 90))
            parts += [p for g in shapely.get_parts(inside) for p in _polygons(g)]
    return _merge(parts)


def _unwrapped(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed ring of degrees without jumps of 360; one that goes round a pole is closed along it."""
    steps = np.diff(ring[:, 0])
    turns = -np.round(steps / 360)
    lon = ring[:, 0] + np.concatenate([[0.0], np.cumsum(turns)]) * 360
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
    """The outer edge of a grid in its own CRS."""
    height, width = grid.shape
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    return Polygon([grid.affine @ corner for corner in corners])


@lru_cache(maxsize=4096)
def grid_footprint(grid: GeoBox) -> BaseGeometry:
    """The ground that a grid covers, in longitude and latitude, split at the antimeridian."""
    return to_degrees(grid_polygon(grid), str(grid.crs))


def _shape(area: Area) -> BaseGeometry:
    return shapely.from_wkt(area.wkt)


@lru_cache(maxsize=64)
def area_footprint(area: Area) -> BaseGeometry:
    """An area in longitude and latitude, split at the antimeridian."""
    return to_degrees(_shape(area), area.crs)


@lru_cache(maxsize=64)
def area_pixels(area: Area, image: GeoBox) -> BaseGeometry:
    """An area in pixel coordinates (column, row) of `image`, not cut at the image's edges; empty when it is elsewhere.

    The answer depends on the whole image only, so masks of neighbouring blocks fit without a gap.
    """
    crs = str(image.crs)
    if _same(area.crs, crs):
        ground: BaseGeometry = _shape(area)
    else:
        ground = _near(area_footprint(area), image)
        ground = _merge([p for part in _polygons(ground) for p in _project(part, crs)])
    if _is_geographic(crs):
        # The image may count its longitudes beyond 180, or the area may.
        west, _, east, _ = grid_polygon(image).bounds
        turned = [translate(ground, turn) for turn in (-360, 0, 360)]
        ground = _merge([p for g in turned if g.bounds[0] < east and g.bounds[2] > west for p in _polygons(g)])
    return shapely.transform(ground, lambda points: _apply(~image.affine, points))


def _near(degrees: BaseGeometry, image: GeoBox) -> BaseGeometry:
    """The part of an area around an image: projections are of no use far away from where they are meant for."""
    around = grid_footprint(image)
    west, south, east, north = around.bounds
    room = 0.05 * max(min(east - west, 360.0), north - south) + 0.01
    near = shapely.union_all([translate(around.buffer(room), turn) for turn in (-360, 0, 360)])
    return degrees if near.contains(degrees) else _dense(degrees).intersection(near)


def _project(polygon: Polygon, crs: str) -> list[Polygon]:
    moved = shapely.transform(_dense(polygon), lambda points: _moved(points, "EPSG:4326", crs))
    return _polygons(moved) if np.isfinite(shapely.get_coordinates(moved)).all() else []


@lru_cache(maxsize=256)
def _same(one: str, other: str) -> bool:
    from pyproj import CRS

    return bool(CRS.from_user_input(one).equals(CRS.from_user_input(other), ignore_axis_order=True))


def _apply(affine: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = points[:, 0], points[:, 1]
    return np.column_stack([affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f])


def extent_pixels(band: GeoBox, image: GeoBox) -> tuple[float, float, float, float]:
    """Bounds (left, top, right, bottom) of one grid in pixels of another; not finite when it has no place there."""
    edge = shapely.segmentize(
        grid_polygon(band), max(grid_polygon(band).bounds[2] - grid_polygon(band).bounds[0], 1e-12) / 64
    )
    points = shapely.get_coordinates(edge)
    if band.crs != image.crs:
        points = _moved(points, str(band.crs), str(image.crs))
    pixels = _apply(~image.affine, points)
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    return float(left), float(top), float(right), float(bottom)


def resolution_in(band: GeoBox, crs: str) -> float:
    """Pixel size in units of `crs` that keeps a grid's number of pixels along its diagonal."""
    height, width = band.shape
    ends = np.array([band.affine @ (0, 0), band.affine @ (width, height)])
    first, last = _moved(ends, str(band.crs), crs)
    return float(np.hypot(*(last - first)) / np.hypot(height, width))
