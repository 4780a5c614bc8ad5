"""Labels on an image's pixels: rasterized polygons, rasters resampled to its grid, or an expression over its bands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp

from swath.errors import AreaError, ImageryError
from swath.geo import Window
from swath.imagery.geometry.footprint import extent_pixels, grid_footprint, grid_polygon, transformer
from swath.imagery.geometry.image_grid import area_mask
from swath.imagery.labels.overlaps import overlap_notes
from swath.imagery.labels.unknown_values import ValueCounts, count_values, unknown_text
from swath.imagery.labels.value_names import class_of_text, classes_of_values, value_names, value_text
from swath.imagery.reading.mosaic import read_mosaic
from swath.imagery.reading.open_raster import gdal_errors, open_raster
from swath.imagery.reading.window import read_file
from swath.imagery.remote.identities import identities, identity
from swath.imagery.scene import Band, Scenes
from swath.imagery.sources.files import read_band
from swath.imagery.sources.scene_units import check_units
from swath.spec.fields.labels import IGNORE_CLASS, IGNORE_INDEX, ExpressionLabels, RasterLabels, VectorLabels
from swath.spec.fields.vector_content import VectorFileError
from swath.spec.fields.vector_file import read_features, read_info
from swath.spec.locations import is_remote
from swath.storage.address import redacted

if TYPE_CHECKING:
    from swath.spec.fields.area import Area
    from swath.spec.fields.imagery import Imagery
    from swath.spec.fields.labels import Labels

_MOST_FEATURES = 20_000
"""Of a file whose features are looked at before labels are read."""
_FARTHEST = 1e15
"""Larger coordinates, which only damaged files have, are nowhere on the image in any CRS."""
_MOST_PARTS = 4_000_000
"""Of an edge."""
_SEGMENTS = 512
"""Before a transformation edges of features are cut into segments of at most the image's longer side divided by this."""


@dataclass(frozen=True)
class VectorSource:
    """Features of a file, with the class of each."""

    path: str
    stamp: str
    layer: str | None
    where: str | None
    crs: str
    """CRS of the coordinates."""
    field: str | None
    numbers: tuple[tuple[str, int], ...]
    """(value of `field`, number of its class). One entry for all features when there is no field."""
    background: int
    all_touched: bool
    bounds: tuple[float, float, float, float] | None = None
    """(west, south, east, north) of all features of the file, in `crs`; None when it is not known."""


@dataclass(frozen=True)
class RasterSource:
    """A raster band of class numbers."""

    band: Band
    numbers: tuple[tuple[int, int], ...]
    """(value in the file, number of its class); pixels with other values have no label."""
    listed: bool = True
    """Whether the spec lists the values; else the value n is taken for the n-th class."""


@dataclass(frozen=True)
class RuleSource:
    """A condition over the bands of scenes, and the numbers of the classes where it is true or false."""

    scenes: Scenes
    text: str
    true: int
    false: int
    reflectance: bool


@dataclass(frozen=True)
class LabelSource:
    """Where the labels of an image come from, on that image's grid; without their pixels."""

    image: GeoBox
    source: VectorSource | RasterSource | RuleSource
    area: Area | None = None
    """Pixels outside of it have no label."""
    notes: tuple[str, ...] = ()


def find_labels(
    labels: Labels, scenes: Scenes, classes: tuple[str, ...], area: Area | None = None, imagery: Imagery | None = None
) -> LabelSource:
    """Read the metadata of the labels, and map them to numbers of `classes` (their positions) on `scenes.image`.

    `imagery` is the source of `scenes`: an expression may need bands of it that the model does not take. Raises ImageryError when
    a file cannot be read or names an unknown class, AreaError when it does not intersect the image.
    """
    number = {name: position for position, name in enumerate(classes)} | {IGNORE_CLASS: IGNORE_INDEX}
    source: VectorSource | RasterSource | RuleSource
    if isinstance(labels, VectorLabels):
        source, notes = _vector(labels, scenes.image, number)
    elif isinstance(labels, RasterLabels):
        source, notes = _raster(labels, scenes.image, number)
    else:
        source, notes = _rule(labels, scenes, number, imagery)
    return LabelSource(scenes.image, source, area, tuple(notes))


def read_labels(labels: LabelSource, window: Window) -> NDArray[np.uint8]:
    """Class numbers in a window of the image: uint8 (height, width), IGNORE_INDEX where there is no label. Raises what
    swath.imagery.reading.mosaic.read_mosaic raises."""
    return read_counted_labels(labels, window)[0]


def read_counted_labels(labels: LabelSource, window: Window) -> tuple[NDArray[np.uint8], ValueCounts]:
    """As `read_labels`, and the values of a label raster in the window, and in the area, that are no class."""
    source = labels.source
    other: NDArray[Any] | None = None
    values: NDArray[Any] | None = None
    if isinstance(source, VectorSource):
        numbers = _rasterize(source, labels.image, window)
    elif isinstance(source, RasterSource):
        (values,), known = read_file([source.band], labels.image, window, "nearest")
        numbers = np.full(window.shape, IGNORE_INDEX, np.uint8)
        other = known.copy()
        for value, number in source.numbers:
            of_value = values == value
            numbers[of_value & known] = number
            other &= ~of_value
    else:
        pixels, valid = read_mosaic(source.scenes, window, reflectance=source.reflectance)
        rule = ExpressionLabels(expression=source.text, label="", otherwise="").parsed()
        holds, known = rule.evaluate(dict(zip(source.scenes.bands, pixels, strict=True)))
        numbers = np.where(holds, np.uint8(source.true), np.uint8(source.false))
        numbers[~(known & valid)] = IGNORE_INDEX
    if labels.area is not None:
        inside = area_mask(labels.area, labels.image, window)
        numbers[~inside] = IGNORE_INDEX
        other = None if other is None else other & inside
    if other is None or values is None or not other.any():
        return numbers, ()
    return numbers, count_values(values[other])


def unknown_labels_text(labels: LabelSource, counts: ValueCounts) -> tuple[str, bool]:
    """What to say of the pixels of a label raster whose values are no class, and whether it is a warning: where the spec lists the
    values, others are ignored as it says."""
    text = unknown_text(counts, "the labels")
    if isinstance(labels.source, RasterSource) and labels.source.listed:
        return f"{text}; labels.classes does not list it, so they are ignored", False
    return f"{text}. They are not used. List the values in labels.classes, each as a class or as `{IGNORE_CLASS}`", True


def _number(name: str, numbers: dict[str, int], where: str) -> int:
    if name in numbers:
        return numbers[name]
    classes = ", ".join(each for each in numbers if each != IGNORE_CLASS)
    raise ImageryError(
        f"{where}: {name!r} is no class; there are {classes}",
        remedy=f"Name it in `classes`, or map it in labels.classes to one of them or to `{IGNORE_CLASS}`.",
    )


def _vector(labels: VectorLabels, image: GeoBox, numbers: dict[str, int]) -> tuple[VectorSource, list[str]]:
    where = redacted(labels.path)
    if image.crs is None:
        raise ImageryError(
            f"{where}: the imagery has no coordinate reference system, so no feature can be found on it",
            remedy="Georeference the imagery (gdal_translate -a_srs), or give the labels as a raster.",
        )
    try:
        facts = read_info(labels.path, labels.layer, "labels.layer")
    except VectorFileError as error:
        raise ImageryError(f"{where} {error}", remedy=f"Check labels.{error.field}.") from error
    notes = []
    crs = labels.crs or facts.crs
    if crs is None:
        crs = "EPSG:4326"
        notes.append(f"{where} does not say its CRS: read as degrees")
    west, south, east, north = facts.bounds or (0, 0, 0, 0)
    if str(crs) == "EPSG:4326" and (min(abs(west), abs(east)) > 360 or min(abs(south), abs(north)) > 90):
        raise ImageryError(
            f"{where}: {west:.6g}, {south:.6g}, {east:.6g}, {north:.6g} are not degrees",
            remedy="If they are metres, give the CRS in labels.crs (EPSG:...).",
        )
    background = _number(labels.background, numbers, f"{where}: labels.background")
    class_numbers: tuple[tuple[str, int], ...]
    if labels.label is not None:
        class_numbers = (("", _number(labels.label, numbers, f"{where}: labels.label")),)
    else:
        names = facts.fields
        if labels.field not in names:
            raise ImageryError(
                f"{where}: no attribute {labels.field!r}; it has {', '.join(names) or 'none'}",
                remedy="Check labels.field.",
            )
        values = set(map(value_text, _read(labels.path, facts.layer, labels.where, str(labels.field))[1]))
        class_numbers = tuple(
            (value, _number(class_of_text(value, labels.classes), numbers, f"{where}: {labels.field}"))
            for value in sorted(values)
        )
    file_stamp = identities([labels.path], notes)[labels.path] if is_remote(labels.path) else identity(labels.path)
    source = VectorSource(
        labels.path,
        file_stamp,
        facts.layer,
        labels.where,
        str(crs),
        labels.field,
        class_numbers,
        background,
        labels.all_touched,
        facts.bounds,
    )
    if not labels.all_touched and facts.count <= _MOST_FEATURES:
        notes += _thin_features(source, image, where)
    if len(class_numbers) > 1 and facts.count <= _MOST_FEATURES:
        shapes, of_class, tree = _features(source, image)
        notes += overlap_notes(shapes, of_class, tree, where)
    return source, notes


def _thin_features(source: VectorSource, image: GeoBox, where: str) -> list[str]:
    """A note on polygons on the image that hold no pixel's centre."""
    shapes, _, tree = _features(source, image)
    on_image = shapes[np.sort(tree.query(shapely.box(0, 0, image.shape[1], image.shape[0])))]
    polygons = on_image[shapely.get_dimensions(on_image) == 2]
    left, top, right, bottom = shapely.bounds(polygons).T
    lost = int(((np.ceil(left - 0.5) > right - 0.5) | (np.ceil(top - 0.5) > bottom - 0.5)).sum())
    if not lost:
        return []
    return [
        f"{where}: {lost:,} of {len(polygons):,} polygons on the image hold no pixel's centre and label no pixel; with "
        "labels.all_touched they label those that they touch"
    ]


def _read(path: str, layer: str | None, where: str | None, field: str | None) -> tuple[NDArray[Any], list[Any]]:
    """(geometries, values of the field or empty strings)."""
    try:
        shapes, values = read_features(path, layer, where, [field] if field else [])
    except VectorFileError as error:
        raise ImageryError(f"{redacted(path)}: {error}", remedy=f"Check labels.{error.field}.") from error
    if not len(shapes):
        which = "that meet labels.where" if where else "at all"
        raise ImageryError(f"{redacted(path)}: has no features {which}", remedy="Check the file and the condition.")
    return shapes, list(values[0]) if field else [""] * len(shapes)


def features(source: VectorSource, image: GeoBox) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """All features as shapely geometries in (column, row) of the image, and the class number of each, uint8."""
    shapes, numbers, _ = _features(source, image)
    return shapes, numbers


@lru_cache(maxsize=16)
def _features(source: VectorSource, image: GeoBox) -> tuple[NDArray[Any], NDArray[np.uint8], shapely.STRtree]:
    """As `features`, in the order of the file, with a spatial index."""
    shapes, values = _read(source.path, source.layer, source.where, source.field)
    table = dict(source.numbers)
    numbers = np.array([table[value_text(value)] for value in values], np.uint8)
    try:
        transform = transformer(source.crs, str(image.crs))
    except ImageryError as error:
        raise ImageryError(f"{redacted(source.path)}: {error.message}", remedy=error.remedy) from error
    there = (
        ~shapely.is_empty(shapes)
        & ~shapely.is_missing(shapes)
        & (np.abs(shapely.bounds(shapes)) < _FARTHEST).all(axis=1)
    )
    shapes, numbers = shapes[there], numbers[there]
    if transform.source_crs != transform.target_crs:
        left, bottom, right, top = grid_polygon(image).bounds
        west, south, east, north = grid_footprint(image).bounds
        known = transformer(source.crs, "EPSG:4326").source_crs
        longest = max(east - west, north - south) if known.is_geographic else max(right - left, top - bottom)
        if image.crs is not None and image.crs.geographic and not known.is_geographic:
            longest *= 111_000
        west, south, east, north = shapely.bounds(shapes).T
        shapes = shapely.segmentize(
            shapes, np.maximum(longest / _SEGMENTS, np.maximum(east - west, north - south) / _MOST_PARTS)
        )
    inverse = ~image.affine

    def to_pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = transform.transform(points[:, 0], points[:, 1])
        if image.crs is not None and image.crs.geographic:  # the image may have longitudes beyond 180
            middle = (grid_polygon(image).bounds[0] + grid_polygon(image).bounds[2]) / 2
            x = x + 360 * np.round((middle - x) / 360)
        with np.errstate(invalid="ignore"):  # of points that are nowhere
            return np.column_stack(
                [inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f]
            )

    transformed = shapely.transform(shapes, to_pixels)
    whole = np.isfinite(shapely.bounds(transformed)).all(axis=1)
    return transformed[whole], numbers[whole], shapely.STRtree(transformed[whole])


def _rasterize(source: VectorSource, image: GeoBox, window: Window) -> NDArray[np.uint8]:
    from rasterio.features import rasterize

    shapes, numbers, tree = _features(source, image)
    around = shapely.box(window.col - 1, window.row - 1, window.stop_col + 1, window.stop_row + 1)
    touching = np.sort(tree.query(around))
    if not len(touching):
        return np.full(window.shape, source.background, np.uint8)
    burned: NDArray[np.uint8] = rasterize(
        [(shapes[each], int(numbers[each])) for each in touching],
        window.shape,
        fill=source.background,
        transform=Affine.translation(window.col, window.row),
        all_touched=source.all_touched,
        dtype="uint8",
    )
    return burned


def _raster(labels: RasterLabels, image: GeoBox, numbers: dict[str, int]) -> tuple[RasterSource, list[str]]:
    where, notes = redacted(labels.path), []
    with gdal_errors(labels.path, "opening it"), open_raster(labels.path) as file:
        if labels.band > file.count:
            raise ImageryError(f"{where}: no band {labels.band}; it has {file.count}", remedy="Check labels.band.")
        band = read_band(file, labels.path, labels.band, "labels", identity(labels.path), numbers=False)
        own = value_names(file, labels.path, labels.band)
        if (count := sum(each is not ColorInterp.alpha for each in file.colorinterp)) > 1:
            notes.append(f"{where}: has {count} bands, and the labels are band {labels.band} (labels.band)")
    if band.nodata is None:
        band = replace(band, nodata=labels.nodata)
    if (band.geobox.crs is None) != (image.crs is None):
        if band.geobox.crs is not None or band.geobox.shape != image.shape:
            raise ImageryError(
                f"{where}: {'the imagery' if image.crs is None else 'the file'} has no coordinate reference system, so "
                "labels and imagery cannot be brought together",
                remedy="Georeference it with gdal_translate -a_srs, or give labels of the image's own rows and columns.",
            )
        notes.append(
            f"{where} has no coordinate reference system; its pixels are taken for those of the image, pixel by pixel"
        )
        band = replace(band, geobox=image)
    left, top, right, bottom = extent_pixels(band.geobox, image)
    if right <= 0 or bottom <= 0 or left >= image.shape[1] or top >= image.shape[0]:
        raise AreaError(f"{where}: does not touch the imagery", remedy="Check the files, and their CRS.")
    classes = [name for name in numbers if name != IGNORE_CLASS]
    named = {int(value): name for value, name in labels.classes.items()}
    if not named:
        named, more = classes_of_values(own, classes, where)
        notes += more
    pairs = [(value, _number(name, numbers, f"{where}: labels.classes.{value}")) for value, name in named.items()]
    return RasterSource(band, tuple(pairs), bool(labels.classes)), notes


def _rule(
    labels: ExpressionLabels, scenes: Scenes, numbers: dict[str, int], imagery: Imagery | None
) -> tuple[RuleSource, list[str]]:
    from swath.imagery.sources.find import find

    rule = labels.parsed()
    if labels.imagery is not None or not set(rule.bands) <= set(scenes.bands):
        requested = labels.imagery if labels.imagery is not None else imagery
        if requested is None:
            missing = ", ".join(sorted(set(rule.bands) - set(scenes.bands)))
            raise ImageryError(f"labels.expression: no band {missing}; there are {', '.join(scenes.bands)}")
        found = find(requested.model_copy(update={"bands": None}), rule.bands)
        ids = {scene.id for scene in scenes.scenes}
        matching = tuple(each for each in found.scenes if each.id in ids) if labels.imagery is None else found.scenes
        # The order of the image's own scenes: where they overlap, labels come from the scene that the pixels come from.
        if labels.imagery is None:
            order = [scene.id for scene in scenes.scenes]
            matching = tuple(sorted(matching, key=lambda each: order.index(each.id)))
        scenes = replace(found, scenes=matching, image=scenes.image, mosaic=scenes.mosaic)
    else:
        chosen = [scenes.bands.index(name) for name in rule.bands]
        scenes = replace(
            scenes,
            bands=rule.bands,
            scenes=tuple(replace(each, bands=tuple(each.bands[at] for at in chosen)) for each in scenes.scenes),
        )
    true = _number(labels.label, numbers, "labels.label")
    false = _number(labels.otherwise, numbers, "labels.otherwise")
    check_units((scenes,), physical=labels.units == "reflectance")
    return RuleSource(scenes, labels.expression, true, false, labels.units == "reflectance"), []
