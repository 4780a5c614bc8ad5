"""STAC documents as they were read: checks the type of every field that is used, before pystac sees them.

A field that another program wrote wrongly is an ImageryError that names the document, the item and the field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swath.errors import ImageryError
from swath.storage.address import redacted

if TYPE_CHECKING:
    import pystac

UNKNOWN_TIME = (datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
"""start_datetime and end_datetime of items without a known time, as in the STAC extension for models: STAC requires a time."""
UNDATED_0_1 = datetime(1970, 1, 1, tzinfo=UTC)
"""The datetime of such items that swath 0.1 wrote."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MAX_EDGE = 2**31 - 1
"""Largest height and width of a raster, in pixels: GDAL counts no further."""
_MAX_DEPTH = 100
"""Levels of a document; real ones have fewer than twenty."""
_MAX_NUMBER = 1e15
"""Largest number of a field that has no limit of its own."""
_MAX_METRES = 1e8
"""Largest coordinate and pixel size of a grid, in units of its CRS: some times the Earth's circumference in metres or feet."""
_REMEDY = "Correct the document, or leave the item out with imagery.exclude."


class _Field:
    """A value of a document with its place: raises ImageryError when it is not of the required type."""

    def __init__(self, value: Any, name: str, what: str) -> None:
        self.value, self.name, self._what = value, name, what

    def wrong(self, must: str) -> ImageryError:
        return ImageryError(
            f"{self._what}: {self.name or 'it'} must be {must}, not {_kind(self.value)}", remedy=_REMEDY
        )

    def at(self, key: str | int) -> _Field:
        """A member of this object or list; its value is None when an object lacks it."""
        value = self.value[key] if isinstance(key, int) else self.value.get(key)
        return _Field(value, f"{self.name}.{key}" if self.name else str(key), self._what)

    @property
    def missing(self) -> bool:
        return self.value is None

    def object(self) -> _Field:
        if not isinstance(self.value, dict):
            raise self.wrong("an object")
        return self

    def list(self) -> list[_Field]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [self.at(number) for number in range(len(self.value))]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def name_text(self) -> str:
        """A text that is printed and that names files: not empty, without control characters."""
        if not self.text() or _CONTROL.search(self.value):
            raise self.wrong("a text of printable characters")
        return str(self.value)

    def href(self) -> str:
        try:
            _ = urlsplit(self.name_text()).port
        except ValueError as error:
            raise self.wrong("an address") from error
        return str(self.value)

    def number(self, least: float = -_MAX_NUMBER, most: float = _MAX_NUMBER) -> float:
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        if not least <= self.value <= most:
            raise self.wrong(f"a number from {least:g} to {most:g}")
        return float(self.value)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:40]) if value else "an empty text"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if not isinstance(value, int) or abs(value) < 10**15 else "a number that large"
    return {list: "a list", dict: "an object", type(None): "missing or null"}.get(type(value), type(value).__name__)


def read_item(document: Any, place: str) -> pystac.Item:
    """The item of a document that was read from `place`. Raises ImageryError that names the field which is wrong."""
    import pystac

    _check_item(document, place)
    properties = document["properties"]
    if not any(properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")):
        start, end = (moment.isoformat().replace("+00:00", "Z") for moment in UNKNOWN_TIME)
        properties |= {"datetime": None, "start_datetime": start, "end_datetime": end}
    with from_pystac(_what(place, document["id"])):
        item = pystac.Item.from_dict(document, href=place, migrate=True)
    # Migration from an older version may have moved fields.
    _check_fields(_Field(item.to_dict(include_self_link=False, transform_hrefs=False), "", _what(place, item.id)))
    return item


@contextmanager
def from_pystac(what: str) -> Iterator[None]:
    """Errors that pystac raises for a document whose fields have the right types, such as an unknown version of STAC."""
    from pystac.errors import STACError
    from pystac_client.exceptions import APIError

    try:
        yield
    except (APIError, OSError):
        raise
    except (STACError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ImageryError(f"{what}: {error} ({type(error).__name__})", remedy=_REMEDY) from error


def check_depth(document: Any) -> None:
    """Raises RecursionError for a document that is nested more deeply than pystac and shapely can copy and read."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise RecursionError(f"more than {_MAX_DEPTH} levels")
        level = [
            part
            for each in level
            if isinstance(each, (dict, list))
            for part in (each.values() if isinstance(each, dict) else each)
            if isinstance(part, (dict, list))
        ]


def _what(place: str, identity: str) -> str:
    return f"{redacted(place)}: item {identity}: not a valid STAC item"


def check_document(document: Any, place: str) -> dict[str, Any]:
    """The document itself, when its type and links, and of an ItemCollection or a page its features, can be followed."""
    root = _Field(document, "", f"{redacted(place)}: not a valid STAC document").object()
    root.at("type").name_text()
    if root.value["type"] == "FeatureCollection":
        root.at("features").list()
        root.value.setdefault("links", [])
    if root.value["type"] != "Feature":
        for link in root.at("links").list():
            _check_link(link)
    if root.value["type"] == "Catalog":
        root.at("id").name_text()
        if not (conforms := root.at("conformsTo")).missing:
            for each in conforms.list():
                each.text()
    return dict(root.value)


def _check_link(link: _Field) -> None:
    link.object().at("rel").text()
    link.at("href").href()
    if not (method := link.at("method")).missing and method.text().upper() not in ("GET", "POST"):
        raise method.wrong("GET or POST")
    for name in ("body", "headers"):
        if not (field := link.at(name)).missing:
            field.object()
    for key in link.value.get("headers") or {}:
        link.at("headers").at(key).text()


def _check_item(document: Any, place: str) -> None:
    identity = document.get("id") if isinstance(document, dict) else None
    known = isinstance(identity, str) and not _CONTROL.search(identity)
    what = _what(place, str(identity)[:120]) if known else f"{redacted(place)}: not a valid STAC item"
    item = _Field(document, "", what).object()
    if item.at("type").text() != "Feature":
        raise item.at("type").wrong("'Feature'")
    item.at("id").name_text()
    if not (version := item.at("stac_version")).missing:
        version.text()
    if not (extensions := item.at("stac_extensions")).missing:
        for each in extensions.list():
            each.text()
    document.setdefault("links", [])
    for link in item.at("links").list():
        _check_link(link)
    for asset in _members(item.at("assets")):
        asset.object().at("href").href()
        if isinstance(asset.value.get("raster:bands"), dict):  # as in a public catalogue, for an asset of one band
            asset.value["raster:bands"] = [asset.value["raster:bands"]]
    item.at("properties").object()
    _check_fields(item)


def _members(field: _Field) -> list[_Field]:
    return [field.at(key) for key in field.object().value]


def _check_fields(item: _Field) -> None:
    """The fields that scenes are made of, each only when it is there."""
    if not (geometry := item.at("geometry")).missing:
        geometry.object()
    if not (box := item.at("bbox")).missing:
        if len(numbers := box.list()) not in (4, 6):
            raise box.wrong("4 or 6 numbers")
        for number in numbers:
            number.number()
    if not (collection := item.at("collection")).missing:
        collection.name_text()
    properties = item.at("properties")
    for name in ("datetime", "start_datetime", "end_datetime"):
        if not (moment := properties.at(name)).missing:
            _check_moment(moment)
    if not (cover := properties.at("eo:cloud_cover")).missing:
        cover.number()
    _check_grid(properties)
    for name in ("bands", "eo:bands"):
        if not (bands := properties.at(name)).missing:
            for band in bands.list():
                _check_band(band.object())
    for asset in _members(item.at("assets")):
        _check_grid(asset)
        _check_band(asset)
        if not (media := asset.at("type")).missing:
            media.text()
        if not (roles := asset.at("roles")).missing:
            for role in roles.list():
                role.text()
        for name in ("bands", "eo:bands", "raster:bands"):
            if not (bands := asset.at(name)).missing:
                for band in bands.list():
                    _check_band(band.object())


def _check_moment(moment: _Field) -> None:
    from pystac.utils import str_to_datetime

    try:
        str_to_datetime(moment.text()).astimezone(UTC)
    except (ValueError, OverflowError, TypeError) as error:
        raise moment.wrong("a time such as 2024-06-01T10:30:00Z") from error


def _check_band(band: _Field) -> None:
    for name in ("name", "common_name", "eo:common_name", "data_type", "raster:data_type"):
        if not (field := band.at(name)).missing:
            field.text()
    for name in ("scale", "offset", "raster:scale", "raster:offset", "gsd", "spatial_resolution"):
        if not (field := band.at(name)).missing:
            field.number()
    for name in ("nodata", "raster:nodata"):
        if not (field := band.at(name)).missing and not _is_nodata(field.value):
            raise field.wrong("a number, 'nan', 'inf' or '-inf'")


def _is_nodata(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() in ("nan", "inf", "-inf")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not isinstance(value, int) or abs(value) < 2**64


def _check_grid(fields: _Field) -> None:
    if not (shape := fields.at("proj:shape")).missing:
        for edge in shape.list():
            edge.number(1, _MAX_EDGE)
    if not (transform := fields.at("proj:transform")).missing:
        numbers = [number.number(-_MAX_METRES, _MAX_METRES) for number in transform.list()]
        if len(numbers) in (6, 9) and abs(numbers[0] * numbers[4] - numbers[1] * numbers[3]) < 1e-30:
            raise transform.wrong("a transform with pixels of some size")
    for name in ("proj:code", "proj:wkt2"):
        if not (code := fields.at(name)).missing:
            code.text()
    if not (number := fields.at("proj:epsg")).missing and not re.fullmatch(r"[0-9]{1,9}", str(number.value)):
        raise number.wrong("the number of a coordinate reference system")
    if not (definition := fields.at("proj:projjson")).missing:
        definition.object()


def check_geometry(geometry: Mapping[str, Any], what: str) -> None:
    """Raises ImageryError unless every position of a GeoJSON geometry is in degrees."""
    waiting = [_Field(geometry.get("coordinates", geometry.get("geometries")), "geometry.coordinates", what)]
    while waiting:
        field = waiting.pop()
        if isinstance(field.value, dict):
            check_geometry(field.value, what)
            continue
        members = field.list()
        if members and not isinstance(members[0].value, list | dict):
            if len(members) not in (2, 3):
                raise field.wrong("a position of 2 or 3 numbers")
            for member in members[:2]:
                member.number(-720, 720)
            if len(members) == 3 and not math.isfinite(members[2].number()):
                raise members[2].wrong("a number")
            continue
        waiting += members
