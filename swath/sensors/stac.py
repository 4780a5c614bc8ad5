"""Sensor `stac`: new items of a STAC API or catalogue over an area, one by one or by the day of their acquisition.

Each look searches the whole time that `look_back` names, so that items which a catalogue lists late, or out of order, are found. The
cursor holds what is not complete yet: the items of each day and when the last of them was first seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swath.errors import ImageryError
from swath.imagery.sources.stac_items import BrokenItems, NoItems, find_items, item_footprint, item_span
from swath.spec.fields.imagery import StacImagery
from swath.triggers.look import Found, Look
from swath.triggers.trigger import StacSensor
from swath.units import duration

if TYPE_CHECKING:
    import pystac

TEXT_DAYS = 3
"""So many incomplete days are told of."""


@dataclass(frozen=True)
class _Group:
    """Items that get one run together."""

    key: str
    items: Sequence[pystac.Item]

    @property
    def ids(self) -> list[str]:
        return sorted(item.id for item in self.items)


def look(sensor: StacSensor, cursor: Any, now: float, root: Path) -> Look:
    """The items, or days, that are complete: clear enough, covering the area, and without news for long enough."""
    moment = datetime.fromtimestamp(now, UTC)
    broken = BrokenItems()
    items = _items(sensor, moment, broken)
    clear = [item for item in items if not _cloudy(item, sensor)]
    found, incomplete, waiting = [], {}, []
    for group in _groups(clear, sensor):
        since = _unchanged_since(group, cursor, now)
        coverage = _coverage(group.items, sensor)
        if coverage < sensor.coverage:
            waiting.append(
                f"{group.key}: {len(group.items)} items cover {coverage:.2f} of the area, {sensor.coverage:g} are needed"
            )
        elif sensor.per == "day" and now - since < sensor.quiet:
            waiting.append(
                f"{group.key}: the last item came {duration(now - since)} ago, quiet: {duration(sensor.quiet)}"
            )
        else:
            found.append(Found(group.key, _values(group, coverage)))
        incomplete[group.key] = {"ids": group.ids, "since": since}
    return Look(tuple(found), incomplete, _text(len(items), len(items) - len(clear), waiting, broken))


def _items(sensor: StacSensor, now: datetime, broken: BrokenItems) -> list[pystac.Item]:
    first = now - timedelta(seconds=sensor.look_back)
    imagery = StacImagery(
        api=sensor.api, catalog=sensor.catalog, collections=sensor.collections,
        datetime=f"{first:%Y-%m-%dT%H:%M:%SZ}/{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    )  # fmt: skip
    try:
        return find_items(imagery, sensor.area, broken=broken)
    except NoItems:
        return []
    except ImageryError as error:
        if broken.errors and error is broken.errors[0]:  # only broken items: the others will be found when they come
            return []
        raise


def _cloudy(item: pystac.Item, sensor: StacSensor) -> bool:
    cover = item.properties.get("eo:cloud_cover")
    return sensor.cloud_cover is not None and isinstance(cover, int | float) and cover > sensor.cloud_cover


def _groups(items: Iterable[pystac.Item], sensor: StacSensor) -> list[_Group]:
    groups: dict[str, list[pystac.Item]] = {}
    for item in items:
        first, _ = item_span(item)
        if first is None:
            continue
        key = first.date().isoformat() if sensor.per == "day" else f"{item.collection_id or ''}/{item.id}"
        groups.setdefault(key, []).append(item)
    return [_Group(key, each) for key, each in groups.items()]  # the items come in the order of time


def _unchanged_since(group: _Group, cursor: Any, now: float) -> float:
    """When a look first saw the items that the group has now. At the first look of all: when they were acquired."""
    if not isinstance(cursor, dict):
        return min(now, max((last.timestamp() for item in group.items if (last := item_span(item)[1])), default=now))
    before = cursor.get(group.key)
    if isinstance(before, dict) and before.get("ids") == group.ids and isinstance(before.get("since"), int | float):
        return float(min(before["since"], now))
    return now


def _coverage(items: Iterable[pystac.Item], sensor: StacSensor) -> float:
    """The part of the area that the footprints of the items cover together."""
    if sensor.area is None:
        return 1.0
    import shapely

    from swath.imagery.geometry.footprint import area_footprint

    area = area_footprint(sensor.area)
    covered = shapely.intersection(shapely.union_all([item_footprint(item) for item in items]), area)
    return float(min(1.0, covered.area / area.area)) if area.area else 1.0


def _values(group: _Group, coverage: float) -> dict[str, Any]:
    spans = [item_span(item) for item in group.items]
    first = min(span[0] for span in spans if span[0] is not None)
    last = max(span[1] or first for span in spans)
    clouds = [
        float(cover)
        for item in group.items
        if isinstance(cover := item.properties.get("eo:cloud_cover"), int | float) and not isinstance(cover, bool)
    ]
    start, end = _whole_seconds(first), _whole_seconds(last, up=True)
    return {
        "day": first.date().isoformat(), "start": start, "end": end, "datetime": f"{start}/{end}", "ids": group.ids,
        "id": group.ids[0], "collection": str(group.items[0].collection_id or ""), "count": len(group.items),
        "coverage": round(coverage, 4), "cloud_cover": round(sum(clouds) / len(clouds), 2) if clouds else None,
    }  # fmt: skip


def _whole_seconds(moment: datetime, *, up: bool = False) -> str:
    if up and moment.microsecond:
        moment += timedelta(seconds=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(items: int, cloudy: int, waiting: list[str], broken: BrokenItems) -> str:
    parts = [f"{items} items in the time looked at" + (f", {cloudy} too cloudy" if cloudy else "")]
    if broken.errors:
        parts.append(f"{len(broken.errors)} broken ones left out ({broken.errors[0].message[:200]})")
    parts += waiting[-TEXT_DAYS:]
    return "; ".join(parts)
