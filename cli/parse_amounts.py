"""Durations and sizes of command line options, such as `30m`, `1h30m` and `10GB`, as numbers."""

from __future__ import annotations

from swath.errors import UsageError
from swath.units import parse_duration, parse_size


def seconds(text: str, option: str, *, zero: bool = False) -> float:
    """A duration in seconds; a bare number is seconds. zero: whether it may be none. Raises UsageError, which names the option."""
    try:
        total = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}", remedy="write it as 90, 90s, 30m, 2h, 1h30m or 30d") from None
    if not total and not zero:
        raise UsageError(f"{option} {text!r} is no time at all", remedy="write it as 90, 90s, 30m, 2h, 1h30m or 30d")
    return total


def size(text: str, option: str) -> int:
    """A size in bytes. Raises UsageError, which names the option."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"{option} {error}", remedy="write it as 500MB, 10GB or 1.5TiB") from None
