"""Amounts as people write them: durations such as `90`, `30m` or `1h30m`, sizes such as `10GB`."""

from __future__ import annotations

import re

from swath.errors import UsageError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def seconds(text: str, option: str) -> float:
    """A duration in seconds; a bare number is seconds. Raises UsageError, which names the option."""
    plain = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw]?)", plain)
    bare = len(parts) > 1 and any(not unit for _, unit in parts)
    total = sum(float(number) * SECONDS[unit or "s"] for number, unit in parts)
    if bare or "".join(number + unit for number, unit in parts) != plain or not total:
        raise UsageError(f"{option} {text!r} is not a duration", remedy="write it as 90, 90s, 30m, 2h, 1h30m or 30d")
    return total


def size(text: str, option: str) -> int:
    """A size in bytes. Raises UsageError, which names the option."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)((?:[kmgt]i?)?)b?", text.strip().lower().replace(" ", ""))
    if found is None:
        raise UsageError(f"{option} {text!r} is not a size", remedy="write it as 500MB, 10GB or 1.5TiB")
    return int(float(found[1]) * BYTES[found[2]])
