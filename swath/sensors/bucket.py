"""Sensor `bucket`: objects of a store below an address."""

from __future__ import annotations

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from swath.errors import UsageError
from swath.storage.address import redacted, scheme
from swath.storage.objects import list_objects
from swath.triggers.look import MOST_FOUND, Found, Look
from swath.triggers.trigger import BucketSensor


def look(sensor: BucketSensor, cursor: Any, now: float, root: Path) -> Look:
    """All objects below the address whose name matches. Needs no cursor."""
    try:
        listed = list_objects(sensor.url)
    except FileNotFoundError:
        listed = {}
    found = []
    for path, facts in sorted(listed.items()):
        name = PurePosixPath(path).name
        if facts.get("type") == "directory" or not fnmatchcase(name, sensor.names):
            continue
        modified = _time(facts)
        version = facts.get("ETag") or facts.get("etag") or f"{modified}-{facts.get('size')}"
        key = f"{path}@{str(version).strip(chr(34))}" if sensor.on == "change" else path
        values = {
            "url": f"{scheme(sensor.url)}://{path}", "name": name, "stem": PurePosixPath(path).stem,
            "size": int(facts.get("size") or 0), "modified": modified,
        }  # fmt: skip
        found.append(Found(key, values))
    if len(found) > MOST_FOUND:
        raise UsageError(
            f"{redacted(sensor.url)}: more than {MOST_FOUND:,} objects", remedy="narrow `url:` or `names:`"
        )
    return Look(tuple(found), None, f"{len(found)} objects match, of {len(listed)}")


def _time(facts: dict[str, Any]) -> str:
    moment = facts.get("LastModified") or facts.get("mtime") or facts.get("updated")
    if isinstance(moment, int | float):
        moment = datetime.fromtimestamp(moment, UTC)
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return str(moment or "")
