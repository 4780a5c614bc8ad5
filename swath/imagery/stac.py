"""Scenes from STAC: find items in a catalogue or an API, filter them, match the wanted bands with their assets."""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

import shapely
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from swath.errors import CredentialsError, ImageryError, ReadFailed
from swath.imagery.files import overridden, read_band, wanted_bands
from swath.imagery.footprint import area_degrees, to_degrees
from swath.imagery.grid import image_grid
from swath.imagery.mask import check
from swath.imagery.raster import gdal_errors, is_remote, open_raster, shown, stamp
from swath.imagery.scene import Band, Scene, Scenes

if TYPE_CHECKING:
    import pystac

    from swath.spec.fields import Area, GridSpec, StacImagery

MOST_ITEMS = 10_000
"""Most items that a search may bring; a search for more is a mistake in the spec."""

TIMEOUT_S = 30
"""For one request to a catalogue or an API."""

_INSTANT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|z|[+-]\d\d:?\d\d)?)?)?)?"
)
_LOOK_ONLY = {"thumbnail", "overview", "visual"}


def find_scenes(
    imagery: StacImagery, bands: tuple[str, ...] | None, area: Area | None, grid: GridSpec | None = None
) -> Scenes:
    """The items that pass every filter, sorted by time, then id; the first `limit` of them.

    A band's name is looked up among asset keys, then common names, then band names. Scale, offset, nodata, dtype and grid
    come from the item where it says them, else from the file, which is then opened once. Raises ImageryError when nothing
    is left (and says what dropped how many), when an item lacks a band, or the catalogue cannot be understood;
    CredentialsError when it may not be read; ReadFailed when it does not answer.
    """
    if imagery.mask is not None:
        check(imagery.mask)
    asked = wanted_bands(imagery.bands, bands)
    if not asked:
        raise ImageryError(
            "imagery.bands: say which bands to take", remedy="Name assets or common names, such as [red, green, blue]."
        )
    if numbers := [want for want in asked if isinstance(want, int)]:
        raise ImageryError(
            f"imagery.bands: {numbers[0]} is a number; STAC bands have names", remedy="Name assets or common names."
        )
    names = tuple(str(want) for want in asked)
    notes: list[str] = []
    items = _filtered(_items(imagery, area), imagery, area)
    scenes = tuple(scene_of(item, names, imagery, notes) for item in items)
    return Scenes(
        scenes=scenes,
        image=image_grid(scenes, grid),
        bands=bands or names,
        mosaic=imagery.mosaic,
        resampling=imagery.resampling,
        mask=imagery.mask,
        notes=tuple(dict.fromkeys(notes)),
    )


# Items: where they come from.


def _items(imagery: StacImagery, area: Area | None) -> Iterator[pystac.Item]:
    place = imagery.api or imagery.catalog or ""
    try:
        found = _searched(imagery, area) if imagery.api is not None else _read(place)
        count = 0
        for item in found:
            yield item
            count += 1
            if count > MOST_ITEMS:
                raise ImageryError(
                    f"{shown(place)}: more than {MOST_ITEMS} items",
                    remedy="Narrow the search: area, datetime, collections.",
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _explained(place, error) from error
    except Exception as error:  # pystac and pystac-client have no common base
        if type(error).__module__.split(".")[0] in ("pystac", "pystac_core", "pystac_client"):
            raise _explained(place, error) from error
        raise


def _explained(place: str, error: Exception) -> Exception:
    status = getattr(error, "status_code", None)
    if status is None and getattr(error, "response", None) is not None:
        status = error.response.status_code  # type: ignore[attr-defined]
    said = f"{shown(place)}: {str(error).replace(place, shown(place))}"
    if status in (401, 403):
        return CredentialsError(f"{shown(place)}: the server answered {status}", remedy="Check the credentials.")
    if isinstance(error, FileNotFoundError) or (status is not None and 400 <= status < 500 and status != 429):
        return ImageryError(said, remedy="Check imagery.catalog or imagery.api, and imagery.collections.")
    if is_remote(place) and (status is not None or isinstance(error, OSError)):
        return ReadFailed(said, remedy="The catalogue did not answer; try again later.")
    return ImageryError(
        f"{said} ({type(error).__name__})", remedy="It must be a STAC catalogue, collection, ItemCollection or item."
    )


def _reader() -> Any:
    from pystac_client.stac_api_io import StacApiIO

    return StacApiIO(timeout=TIMEOUT_S, max_retries=3)


def _read(place: str) -> Iterator[pystac.Item]:
    """Every item of a catalogue, collection, ItemCollection or item, in the order of the links."""
    import pystac
    from pystac.utils import make_absolute_href

    reader = _reader()
    waiting, seen = [place], {place}
    while waiting:
        href = waiting.pop(0)
        document = reader.read_json(href)
        kind = document["type"]
        if kind == "FeatureCollection":
            yield from (pystac.Item.from_dict(feature, href=href, migrate=True) for feature in document["features"])
        elif kind == "Feature":
            yield pystac.Item.from_dict(document, href=href, migrate=True)
        elif kind in ("Catalog", "Collection"):
            found = [link["href"] for link in document["links"] if link["rel"] in ("item", "child")]
            fresh = [h for h in (make_absolute_href(link, href) for link in found) if h not in seen]
            seen.update(fresh)
            waiting = fresh + waiting
        else:
            raise ImageryError(f"{shown(href)}: a {kind!r}, not a STAC document")


def _searched(imagery: StacImagery, area: Area | None) -> Iterator[pystac.Item]:
    """Items that an API finds. The filters are applied again afterwards, the same for every source."""
    from pystac_client import Client

    client = Client.open(imagery.api or "", stac_io=_reader())
    terms: dict[str, Any] = {}
    if imagery.collections:
        terms["collections"] = list(imagery.collections)
    if imagery.ids:
        terms["ids"] = list(imagery.ids)
    if imagery.datetime is not None:
        start, stop = interval(imagery.datetime)
        terms["datetime"] = f"{_rfc3339(start)}/{_rfc3339(stop)}"
    if area is not None:
        ground = area_degrees(area)
        if shapely.get_num_coordinates(ground) > 500:  # servers refuse long requests
            ground = shapely.MultiPolygon([shapely.box(*part.bounds) for part in shapely.get_parts(ground)])
        if shapely.get_num_coordinates(ground) > 500:
            ground = shapely.box(*ground.bounds)
        terms["intersects"] = shapely.geometry.mapping(ground)
    return client.search(**terms).items()


def _rfc3339(moment: datetime | None) -> str:
    return ".." if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# Filters.


def _filtered(items: Iterable[pystac.Item], imagery: StacImagery, area: Area | None) -> list[pystac.Item]:
    span = interval(imagery.datetime) if imagery.datetime is not None else None
    ground = area_degrees(area) if area is not None else None
    dropped: Counter[str] = Counter()
    kept: dict[tuple[str | None, str], pystac.Item] = {}
    for item in items:
        reason = _dropped_by(item, imagery, span, ground)
        if reason:
            dropped[reason] += 1
        else:
            kept.setdefault((item.collection_id, item.id), item)
    if not kept:
        place = shown(imagery.api or imagery.catalog or "")
        why = ", ".join(f"{count} by {reason}" for reason, count in dropped.items())
        raise ImageryError(
            f"{place}: no items" + (f"; dropped: {why}" if why else " found"),
            remedy="Widen the filter that drops them." if why else "Check imagery.collections, datetime and the area.",
        )
    ordered = sorted(kept.values(), key=lambda item: (_span(item)[0] or datetime.min.replace(tzinfo=UTC), item.id))
    return list(islice(ordered, imagery.limit))


def _dropped_by(
    item: pystac.Item,
    imagery: StacImagery,
    span: tuple[datetime | None, datetime | None] | None,
    ground: shapely.Geometry | None,
) -> str:
    """The filter that drops an item, or an empty string."""
    if imagery.collections and item.collection_id not in imagery.collections:
        return "collections"
    if imagery.ids and item.id not in imagery.ids:
        return "ids"
    if span is not None:
        first, last = _span(item)
        if first is None or last is None or (span[1] and first > span[1]) or (span[0] and last < span[0]):
            return "datetime"
    cover = item.properties.get("eo:cloud_cover")
    if imagery.cloud_cover is not None and cover is not None and cover > imagery.cloud_cover:
        return "cloud_cover"
    if ground is not None and not item_footprint(item).intersects(ground):
        return "area"
    return ""


def _span(item: pystac.Item) -> tuple[datetime | None, datetime | None]:
    if item.datetime is not None:
        return _utc(item.datetime), _utc(item.datetime)
    times = item.common_metadata
    return _utc(times.start_datetime), _utc(times.end_datetime)


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def item_footprint(item: pystac.Item) -> shapely.Geometry:
    """An item's ground in degrees, split at the antimeridian; from its bbox when it has no geometry.

    A bbox with west > east crosses the antimeridian, and so does a ring that jumps by more than 180 degrees.
    """
    if item.geometry is not None:
        return to_degrees(shapely.make_valid(shapely.geometry.shape(item.geometry)), "EPSG:4326")
    if item.bbox is None:
        return shapely.MultiPolygon()
    half = len(item.bbox) // 2
    west, south, east, north = item.bbox[0], item.bbox[1], item.bbox[half], item.bbox[half + 1]
    return to_degrees(shapely.box(west, south, east + 360 if west > east else east, north), "EPSG:4326")


def interval(text: str) -> tuple[datetime | None, datetime | None]:
    """First and last moment of a time or an interval: 2024, 2024-06, 2024-06-01/2024-08, 2024-06-01T10:00:00Z/.. .

    None is an open end. A year, month or day stands for all of it; times without a zone are UTC. Raises ImageryError.
    """
    ends = text.strip().split("/")
    if len(ends) > 2:
        raise ImageryError(f"imagery.datetime: {text!r} has more than two parts", remedy="Write 2024-06/2024-08.")
    spans = [(None, None) if end in ("", "..") else _whole(end, text) for end in ends]
    start, stop = spans[0][0], spans[-1][1]
    if start is not None and stop is not None and start > stop:
        raise ImageryError(f"imagery.datetime: {text!r} ends before it starts")
    return start, stop


def _whole(text: str, whole: str) -> tuple[datetime, datetime]:
    wrong = ImageryError(
        f"imagery.datetime: {text!r} in {whole!r} is not a date",
        remedy="Write 2024, 2024-06, 2024-06-01 or 2024-06-01T10:30:00Z.",
    )
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise wrong
    year, month, day, hour = match.group(1, 2, 3, 4)
    try:
        if hour is not None:
            moment = datetime.fromisoformat(text.strip().upper().replace(" ", "T"))
            exact = _utc(moment) or moment
            return exact, exact
        first = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        if day is not None:
            days = 1
        elif month is not None:
            days = calendar.monthrange(first.year, first.month)[1]
        else:
            days = 366 if calendar.isleap(first.year) else 365
        return first, first + timedelta(days=days) - timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise wrong from error


# One item.


def scene_of(item: pystac.Item, names: tuple[str, ...], imagery: StacImagery, notes: list[str]) -> Scene:
    """The Scene that an item describes, with the named bands. Raises ImageryError when it lacks one."""
    bands = tuple(_band(item, name, imagery, notes) for name in names)
    quality = _band(item, imagery.mask.band, imagery, notes, numbers=False) if imagery.mask is not None else None
    first, _ = _span(item)
    moment = first.isoformat().replace("+00:00", "Z") if first is not None else None
    return Scene(item.id, bands, moment, quality, item.properties.get("eo:cloud_cover"))


def _band(item: pystac.Item, name: str, imagery: StacImagery, notes: list[str], *, numbers: bool = True) -> Band:
    key, index = _asset(item, name)
    asset = item.assets[key]
    href = asset.get_absolute_href() or asset.href
    facts = _facts(asset, index)
    geobox, dtype = _geobox(item, asset), facts.get("data_type")
    mark = (
        str(asset.extra_fields.get("file:checksum") or item.properties.get("updated") or "")
        if is_remote(href)
        else stamp(href)
    )
    if geobox is None or dtype is None:
        with gdal_errors(href, f"looking into asset {key} of item {item.id}"), open_raster(href) as file:
            if index > file.count:
                raise ImageryError(f"{shown(href)}: item {item.id} speaks of band {index}, the file has {file.count}")
            seen = read_band(file, href, index, name, mark)
        geobox, dtype = seen.geobox, seen.dtype
        if geobox.crs is None:
            raise ImageryError(f"{shown(href)}: no coordinate reference system")
        facts = {"nodata": seen.nodata, "scale": seen.scale, "offset": seen.offset} | facts
    scale, offset = facts.get("scale"), facts.get("offset")
    if numbers:
        if item.properties.get("earthsearch:boa_offset_applied") is True and offset:
            # Earth Search took the offset of baseline 04.00 off the pixels, and still lists it.
            offset = 0.0
            notes.append(
                "the catalogue says that the BOA offset is already applied to the pixels; it is not applied again"
            )
        scale, offset = overridden(imagery.scale, imagery.offset, scale, offset)
    nodata = facts.get("nodata")
    return Band(
        name=name,
        href=href,
        index=index,
        geobox=geobox,
        dtype=str(dtype),
        nodata=None if nodata is None else float(nodata),
        scale=None if scale is None else float(scale),
        offset=None if offset is None else float(offset),
        stamp=mark,
    )


def _described(asset: pystac.Asset) -> list[dict[str, Any]]:
    """An asset's bands, each with `name` and `common_name` where said: STAC 1.1 `bands`, or 1.0 `eo:bands`."""
    fields = asset.extra_fields
    if fields.get("bands"):
        return [band | {"common_name": band.get("eo:common_name", band.get("common_name"))} for band in fields["bands"]]
    return list(fields.get("eo:bands") or ())


def _asset(item: pystac.Item, name: str) -> tuple[str, int]:
    """(asset key, 1-based band index) for a band's name."""
    lowered = name.lower()
    for key in [name, *(k for k in item.assets if k.lower() == lowered)]:
        if key in item.assets and len(_described(item.assets[key])) <= 1:
            return key, 1
    for what in ("common_name", "name"):
        found = [
            (key, index)
            for key, asset in item.assets.items()
            for index, band in enumerate(_described(asset), 1)
            if str(band.get(what) or "").lower() == lowered
        ]
        if found:
            # The same band often comes at several resolutions, and in pictures to look at.
            return min(found, key=lambda place: _preference(item.assets[place[0]]))
    known = list(item.assets)
    known += [
        str(b[w]) for a in item.assets.values() for b in _described(a) for w in ("common_name", "name") if b.get(w)
    ]
    known = list(dict.fromkeys(known))
    near = get_close_matches(lowered, [k.lower() for k in known], 1)
    hint = f" (did you mean {next(k for k in known if k.lower() == near[0])}?)" if near else ""
    raise ImageryError(f"item {item.id}: no band {name!r}{hint}", remedy=f"It has: {', '.join(known)}.")


def _preference(asset: pystac.Asset) -> tuple[bool, float]:
    fields = asset.extra_fields
    to_look_at = bool(_LOOK_ONLY.intersection(asset.roles or ())) or asset.media_type in ("image/png", "image/jpeg")
    transform = fields.get("proj:transform")
    facts = (fields.get("raster:bands") or [{}])[0]
    size = abs(transform[0]) if transform else facts.get("spatial_resolution") or fields.get("gsd") or float("inf")
    return to_look_at or len(_described(asset)) == 3 and "visual" in asset.href.lower(), float(size)


def _facts(asset: pystac.Asset, index: int) -> dict[str, Any]:
    """data_type, nodata, scale and offset of a band, those that are said: raster 1.x, or STAC 1.1 on the band or the asset."""
    fields = asset.extra_fields
    described = fields.get("bands") or []
    old = fields.get("raster:bands") or []
    layers = [
        fields,
        old[index - 1] if index <= len(old) else {},
        described[index - 1] if index <= len(described) else {},
    ]
    facts: dict[str, Any] = {}
    for layer in layers:
        for name in ("data_type", "nodata", "scale", "offset"):
            value = layer.get(name, layer.get(f"raster:{name}"))
            if value is not None:
                facts[name] = value
    return facts


def _geobox(item: pystac.Item, asset: pystac.Asset) -> GeoBox | None:
    """The grid as proj: fields tell it, of the asset or else of the item; None when they leave something out."""

    def said(name: str) -> Any:
        return asset.extra_fields.get(name, item.properties.get(name))

    shape, transform = said("proj:shape"), said("proj:transform")
    crs = said("proj:code") or said("proj:wkt2") or said("proj:projjson")
    if crs is None and said("proj:epsg"):
        crs = f"EPSG:{said('proj:epsg')}"
    if not shape or not transform or not crs or len(shape) != 2 or len(transform) not in (6, 9):
        return None
    if isinstance(crs, dict):
        from pyproj import CRS as PyprojCRS

        crs = PyprojCRS.from_json_dict(crs).to_wkt()
    return GeoBox((int(shape[0]), int(shape[1])), Affine(*(float(v) for v in transform[:6])), CRS(crs))
