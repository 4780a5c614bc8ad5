"""Several processings of one scene in a catalogue: which items show the same acquisition, and which of them is the newest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from swath.imagery.sources.radiometry import processing_baseline
from swath.imagery.sources.stac_document import UNKNOWN_TIME

if TYPE_CHECKING:
    import pystac

SAME_PASS = timedelta(minutes=10)
"""Items of one tile within this time are of one pass: reprocessing changes the stated time by seconds, an orbit takes 98 min."""

_S2_PRODUCT = re.compile(r"S2[A-D]_MSI(L\d[A-C])_(\d{8}T\d{6})_N\d{4}_R\d{3}_T(\w{5})_(\d{8}T\d{6})")
_S2_ID = re.compile(r"S2[A-D]_(\d{1,2}[A-Z]{3})_\d{8}_(\d+)_(L\d[A-C])")
_LANDSAT = re.compile(r"L[A-Z]\d\d_(L[12][A-Z]{2})_(\d{6})_(\d{8})_(\d{8})_(\d\d)_(RT|T1|T2)")
_TIERS = ("RT", "T2", "T1")
_TILES = ("grid:code", "s2:mgrs_tile", "mgrs:utm_zone", "sentinel:utm_zone")


def newest_processings(items: Sequence[pystac.Item], notes: list[str]) -> list[pystac.Item]:
    """The items, of several processings of one scene the newest only, in their order; what is left out is added to `notes`.

    One scene: the same collection, platform, product level and tile within SAME_PASS; without a tile, the same footprint and moment
    where all state when they were processed. The newest has the highest baseline, then the last processing:datetime, created,
    updated and date or sequence in its id.
    """
    left_out: dict[str, str] = {}
    groups: dict[tuple[str, ...], list[pystac.Item]] = {}
    for item in items:
        key = _scene_key(item)
        if key is not None:
            groups.setdefault(key, []).append(item)
    for group in groups.values():
        group.sort(key=lambda item: (_moment(item), item.id))
        first = 0
        for end in range(1, len(group) + 1):
            if end < len(group) and _moment(group[end]) - _moment(group[end - 1]) <= SAME_PASS:
                continue
            one_pass, first = group[first:end], end
            if len(one_pass) > 1:
                _choose(one_pass, left_out, notes)
    return [item for item in items if (item.collection_id or "") + "\n" + item.id not in left_out]


def _choose(group: list[pystac.Item], left_out: dict[str, str], notes: list[str]) -> None:
    newest = max(group, key=lambda item: (_version(item), item.id))
    others = [item for item in group if item is not newest]
    for item in others:
        left_out[(item.collection_id or "") + "\n" + item.id] = newest.id
    notes.append(
        f"{len(group)} items show one scene: {newest.id} is the newest processing ({_version_text(newest)}) and is used, "
        f"{', '.join(f'{item.id} ({_version_text(item)})' for item in others)} left out"
    )


def _scene_key(item: pystac.Item) -> tuple[str, ...] | None:
    """What all processings of one scene have in common; None when nothing says which scene an item shows."""
    if item.datetime is None:
        return None
    properties = item.properties
    platform = str(properties.get("platform") or "").lower()
    common = (item.collection_id or "", platform or item.id[:3])
    for name in (str(properties.get("s2:product_uri") or properties.get("sentinel:product_id") or ""), item.id):
        if found := _S2_PRODUCT.match(name):
            return (*common, found[1], found[3], found[2])
        if found := _LANDSAT.match(name):
            return (*common, found[1], found[2], found[3])
    level = str(properties.get("processing:level") or "")
    if found := _S2_ID.match(item.id):
        return (*common, found[3], found[1].zfill(5))
    tile = [str(properties[name]) for name in _TILES if properties.get(name)]
    tile += [str(properties[name]) for name in ("landsat:wrs_path", "landsat:wrs_row") if properties.get(name)]
    tile += [
        str(v)
        for k, v in sorted(properties.items())
        if k.startswith(("mgrs:", "sentinel:")) and k.endswith(("band", "square"))
    ]
    if platform and tile:
        return (*common, level, *tile)
    if platform and item.bbox is not None and any(properties.get(n) for n in ("processing:datetime", "created")):
        return (*common, level, *(f"{edge:.4f}" for edge in item.bbox), item.datetime.isoformat())
    return None


def _version(item: pystac.Item) -> tuple[tuple[int, int], str, str, str, str]:
    """Sorts the processings of one scene from the oldest to the newest."""
    times = [_time_text(item.properties.get(name)) for name in ("processing:datetime", "created", "updated")]
    return processing_baseline(item) or (0, 0), times[0], times[1], times[2], _in_id(item.id)


def _in_id(identity: str) -> str:
    if found := _S2_ID.match(identity):
        return found[2].zfill(6)
    if found := _LANDSAT.match(identity):
        return f"{found[5]}{_TIERS.index(found[6])}{found[4]}"
    if found := _S2_PRODUCT.match(identity):
        return found[4]
    return ""


def _version_text(item: pystac.Item) -> str:
    baseline = processing_baseline(item)
    texts = [f"baseline {baseline[0]:02}.{baseline[1]:02}"] if baseline is not None else []
    texts += [
        f"{name} {item.properties[name]}" for name in ("processing:datetime", "created") if item.properties.get(name)
    ]
    return texts[0] if texts else "by its id"


def _time_text(value: object) -> str:
    """A time as a text that sorts; empty when there is none."""
    try:
        moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return ""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _moment(item: pystac.Item) -> datetime:
    moment = item.datetime or UNKNOWN_TIME[0]
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
