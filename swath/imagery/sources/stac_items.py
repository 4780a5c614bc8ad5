"""STAC items of a catalogue or an API that pass the spec's filters."""

from __future__ import annotations

import calendar
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from swath.errors import CredentialsError, ImageryError, ReadFailed
from swath.graph.call_context import left_out
from swath.imagery.geometry.footprint import area_footprint, to_degrees
from swath.imagery.remote.host_check import check_reference
from swath.imagery.sources.stac_document import UNDATED_0_1, UNKNOWN_TIME, check_geometry, from_pystac, read_item
from swath.imagery.sources.stac_processing import newest_processings
from swath.storage.address import is_remote, local_href, redacted

if TYPE_CHECKING:
    import pystac

    from swath.imagery.sources.stac_reader import StacLimits, StacReader
    from swath.spec.fields.area import Area
    from swath.spec.fields.imagery import StacImagery

LISTED_BROKEN = 20
"""So many broken items are named; of more the number."""

_INSTANT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|z|[+-]\d\d:?\d\d)?)?)?)?"
)


class NoItems(ImageryError):
    """The catalogue was read, and no item passes the filters."""


@dataclass
class BrokenItems:
    """Items that are not valid or lack a band. They are left out, and the run ends with exit code 3 (`on_error: continue`)."""

    errors: list[ImageryError] = field(default_factory=list)

    def add(self, error: ImageryError) -> None:
        """Leave out the item that `error` names."""
        self.errors.append(error)

    def report(self, notes: list[str]) -> None:
        """Report the items to the run and in `notes`."""
        for error in self.errors[:LISTED_BROKEN]:
            left_out(f"{error.message}; {error.remedy}" if error.remedy else error.message)
            notes.append(f"set aside: {error.message}")
        more = len(self.errors) - LISTED_BROKEN
        if more > 0:
            left_out(f"{more} more items")
            notes.append(f"set aside: {more} more items")


def find_items(
    imagery: StacImagery,
    area: Area | None,
    limits: StacLimits | None = None,
    notes: list[str] | None = None,
    broken: BrokenItems | None = None,
) -> list[pystac.Item]:
    """The items that pass every filter, sorted by time, then id; the first `limit` of them.

    Raises NoItems when nothing is left (with the number that each filter dropped), ImageryError at one of the limits or when the
    catalogue cannot be parsed, CredentialsError when it may not be read, ReadFailed when it does not answer. Warnings are added
    to `notes`. Items that are not valid are added to `broken`; without it they are reported here (see BrokenItems).
    """
    from swath.imagery.sources.stac_reader import StacLimits

    notes = notes if notes is not None else []
    own = broken if broken is not None else BrokenItems()
    items = _filtered(_items(imagery, area, limits or StacLimits(), notes, own), imagery, area, notes, own)
    if broken is None:
        own.report(notes)
    return items


def _items(
    imagery: StacImagery, area: Area | None, limits: StacLimits, notes: list[str], broken: BrokenItems
) -> Iterator[pystac.Item]:
    from swath.imagery.sources.stac_reader import StacReader

    place, max_items = imagery.api or imagery.catalog or "", limits.items
    reader = StacReader(place, limits)
    try:
        by_search = imagery.api is not None
        found = _searched(imagery, area, reader, notes, broken) if by_search else _read(imagery, reader, broken)
        for count, item in enumerate(found):
            yield item
            if count >= max_items:
                raise ImageryError(
                    f"{redacted(place)}: more than {max_items} items",
                    remedy="Narrow the search: area, datetime, collections.",
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _explain(place, error) from error
    except Exception as error:  # pystac and pystac-client have no common base
        if type(error).__module__.split(".")[0] in ("pystac", "pystac_core", "pystac_client"):
            raise _explain(place, error) from error
        raise


def _explain(place: str, error: Exception) -> Exception:
    status = getattr(error, "status_code", None)
    if status is None and getattr(error, "response", None) is not None:
        status = error.response.status_code  # type: ignore[attr-defined]
    message = f"{redacted(place)}: {str(error).replace(place, redacted(place))}"
    if status in (401, 403):
        return CredentialsError(f"{redacted(place)}: the server answered {status}", remedy="Check the credentials.")
    if isinstance(error, FileNotFoundError) or (status is not None and 400 <= status < 500 and status != 429):
        return ImageryError(message, remedy="Check imagery.catalog or imagery.api, and imagery.collections.")
    if is_remote(place) and (status is not None or isinstance(error, OSError)):
        return ReadFailed(message, remedy="The catalogue did not answer; try again later.")
    return ImageryError(
        f"{message} ({type(error).__name__})", remedy="It must be a STAC catalogue, collection, ItemCollection or item."
    )


def _valid_items(
    documents: Iterable[Any], place: str, imagery: StacImagery, broken: BrokenItems
) -> Iterator[pystac.Item]:
    """The items of documents, without those that the spec excludes, which may be broken, and those that are."""
    for document in documents:
        if isinstance(document, dict) and document.get("id") in imagery.exclude:
            continue
        try:
            item = read_item(document, place)
        except ImageryError as error:
            broken.add(error)
        else:
            yield item


def _read(imagery: StacImagery, reader: StacReader, broken: BrokenItems) -> Iterator[pystac.Item]:
    """All items of a catalogue, collection, ItemCollection or item, in the order of the links."""
    from pystac.utils import make_absolute_href

    place = imagery.catalog or ""
    waiting, seen, items = [place], {place}, set[str]()
    while waiting:
        href = waiting.pop(0)
        try:
            document = reader.read_json(href)
        except (ImageryError, FileNotFoundError, UnicodeDecodeError) as error:
            if href not in items or reader.exhausted:
                raise
            broken.add(error if isinstance(error, ImageryError) else ImageryError(f"{redacted(href)}: {error}"))
            continue
        href = local_href(href)
        kind = document["type"]
        if kind == "FeatureCollection":
            yield from _valid_items(document["features"], href, imagery, broken)
        elif kind == "Feature":
            yield from _valid_items([document], href, imagery, broken)
        elif kind in ("Catalog", "Collection"):
            found = [link["href"] for link in document["links"] if link["rel"] in ("item", "child")]
            fresh = [h for h in (make_absolute_href(link, href) for link in found) if h not in seen]
            for each in fresh:
                check_reference(each, href, redacted(href))
            seen.update(fresh)
            items.update(make_absolute_href(link["href"], href) for link in document["links"] if link["rel"] == "item")
            waiting = fresh + waiting
        else:
            raise ImageryError(
                f"{redacted(href)}: a {kind!r}, not a STAC document",
                remedy="Name a Catalog, Collection, FeatureCollection or Feature of STAC.",
            )


def _searched(
    imagery: StacImagery, area: Area | None, reader: StacReader, notes: list[str], broken: BrokenItems
) -> Iterator[pystac.Item]:
    """Items that an API finds, each once. The filters are applied again afterwards, as for every source. A page without a new item
    ends the search: the `next` links of some servers lead to the same page for ever."""
    from pystac_client import Client

    place = imagery.api or ""
    with from_pystac(f"{redacted(place)}: not a STAC API"):
        client = Client.open(place, stac_io=reader)
    terms: dict[str, Any] = {}
    if imagery.collections:
        terms["collections"] = list(imagery.collections)
    if imagery.ids:
        terms["ids"] = list(imagery.ids)
    if imagery.datetime is not None:
        start, stop = parse_interval(imagery.datetime)
        terms["datetime"] = f"{_rfc3339(start)}/{_rfc3339(stop, end=True)}"
    if area is not None:
        footprint = area_footprint(area)
        if shapely.get_num_coordinates(footprint) > 500:  # servers refuse long requests
            footprint = shapely.MultiPolygon([shapely.box(*part.bounds) for part in shapely.get_parts(footprint)])
        if shapely.get_num_coordinates(footprint) > 500:
            footprint = shapely.box(*footprint.bounds)
        terms["intersects"] = mapping(footprint)
    with from_pystac(f"{redacted(place)}: not a STAC API"):
        pages = client.search(**terms).pages_as_dicts()
    seen: set[tuple[str | None, str]] = set()
    for page in pages:
        items = _valid_items(page["features"], place, imagery, broken)
        fresh = {(item.collection_id, item.id): item for item in items}
        fresh = {key: item for key, item in fresh.items() if key not in seen}
        if not fresh:
            notes.append(
                f"{redacted(place)}: the server's paging is broken: a page brought no new item, and ended the search"
            )
            return
        seen.update(fresh)
        yield from fresh.values()


def _rfc3339(moment: datetime | None, *, end: bool = False) -> str:
    """In whole seconds, which all servers take: an end in the next one, what is too late is dropped here."""
    if moment is None:
        return ".."
    if end and moment.microsecond and moment.year < 9999:
        moment += timedelta(seconds=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _filtered(
    items: Iterable[pystac.Item], imagery: StacImagery, area: Area | None, notes: list[str], broken: BrokenItems
) -> list[pystac.Item]:
    span = parse_interval(imagery.datetime) if imagery.datetime is not None else None
    footprint = area_footprint(area) if area is not None else None
    dropped: Counter[str] = Counter()
    passed: dict[tuple[str | None, str], pystac.Item] = {}
    place = redacted(imagery.api or imagery.catalog or "")
    for item in items:
        try:
            reason = _dropped_by(item, imagery, span, footprint)
        except ImageryError as error:
            raise ImageryError(f"{place}: {error.message}", remedy=error.remedy) from error
        if reason:
            dropped[reason] += 1
        else:
            passed.setdefault((item.collection_id, item.id), item)
    newest = newest_processings([*passed.values()], notes)
    # After the choice among processings: one that is too cloudy by a newer estimate is not replaced by an older one.
    clear = [item for item in newest if not _too_cloudy(item, imagery)]
    if dropped_clouds := len(newest) - len(clear):
        dropped["cloud_cover"] += dropped_clouds
    if not clear and not dropped and broken.errors:
        raise broken.errors[0]
    if not clear:
        why = ", ".join(f"{count} by {reason}" for reason, count in dropped.items())
        raise NoItems(
            f"{place}: no items" + (f"; dropped: {why}" if why else " found"),
            remedy="Widen the filter that drops them." if why else "Check imagery.collections, datetime and the area.",
        )
    ordered = sorted(clear, key=lambda item: (item_span(item)[0] or datetime.min.replace(tzinfo=UTC), item.id))
    return list(islice(ordered, imagery.limit))


def _dropped_by(
    item: pystac.Item,
    imagery: StacImagery,
    span: tuple[datetime | None, datetime | None] | None,
    footprint: BaseGeometry | None,
) -> str:
    """The filter that drops an item, or an empty string."""
    if imagery.collections and item.collection_id not in imagery.collections:
        return "collections"
    if imagery.ids and item.id not in imagery.ids:
        return "ids"
    if item.id in imagery.exclude:
        return "exclude"
    if span is not None:
        first, last = item_span(item)
        if first is None or last is None or (span[1] and first > span[1]) or (span[0] and last < span[0]):
            return "datetime"
    if footprint is not None and not item_footprint(item).intersects(footprint):
        return "area"
    return ""


def _too_cloudy(item: pystac.Item, imagery: StacImagery) -> bool:
    cover = item.properties.get("eo:cloud_cover")
    return imagery.cloud_cover is not None and cover is not None and cover > imagery.cloud_cover


def item_span(item: pystac.Item) -> tuple[datetime | None, datetime | None]:
    """(first, last) moment of an item, UTC; None when it is not stated."""
    if item.datetime is not None:
        moment = _utc(item.datetime)
        return (None, None) if moment == UNDATED_0_1 else (moment, moment)
    times = item.common_metadata
    span = _utc(times.start_datetime), _utc(times.end_datetime)
    return (None, None) if span == UNKNOWN_TIME else span


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def item_footprint(item: pystac.Item) -> BaseGeometry:
    """An item's footprint in degrees, split at the antimeridian; from its bbox when it has no geometry.

    A bbox with west > east crosses the antimeridian, and so does a ring that jumps by more than 180 degrees.
    """
    if item.geometry is not None:
        what = f"item {item.id}: not a valid STAC item"
        check_geometry(item.geometry, what)
        try:
            geometry = shape(item.geometry)
        except (shapely.errors.ShapelyError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ImageryError(
                f"{what}: geometry: {error}", remedy="Correct the document, or leave the item out."
            ) from error
        return to_degrees(geometry, "EPSG:4326", wrapped=True)
    if item.bbox is None:
        return shapely.MultiPolygon()
    half = len(item.bbox) // 2
    west, south, east, north = item.bbox[0], item.bbox[1], item.bbox[half], item.bbox[half + 1]
    return to_degrees(shapely.box(west, south, east + 360 if west > east else east, north), "EPSG:4326")


def parse_interval(text: str) -> tuple[datetime | None, datetime | None]:
    """(first, last) moment of a time or an interval: 2024, 2024-06, 2024-06-01/2024-08, 2024-06-01T10:00:00Z/.. .

    None is an open end. A year, month or day includes all of it; times without a zone are UTC. Raises ImageryError.
    """
    ends = text.strip().split("/")
    if len(ends) > 2:
        raise ImageryError(f"imagery.datetime: {text!r} has more than two parts", remedy="Write 2024-06/2024-08.")
    spans = [(None, None) if end in ("", "..") else _period(end, text) for end in ends]
    start, stop = spans[0][0], spans[-1][1]
    if start is not None and stop is not None and start > stop:
        raise ImageryError(f"imagery.datetime: {text!r} ends before it starts")
    return start, stop


def _period(text: str, whole: str) -> tuple[datetime, datetime]:
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
        return first, first + timedelta(days=days) - timedelta(microseconds=1)
    except (ValueError, OverflowError) as error:
        raise wrong from error
