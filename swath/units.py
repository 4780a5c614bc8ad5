"""Numbers with units as text: durations, byte sizes, rates, counts, times of day; and sizes and durations read from text."""

from __future__ import annotations

import datetime
import math
import re
import time

_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


def duration(seconds: float) -> str:
    """Such as `0.4 s`, `12 s`, `3m 05s`, `2h 14m`, `3d 04h`; `?` when not finite."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def fine_duration(seconds: float) -> str:
    """A duration with three significant digits below a minute, down to microseconds: `0`, `3.2 us`, `250 ms`, `1.5 s`."""
    if seconds == 0:
        return "0"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 59.95 else duration(seconds)


def size(count: float) -> str:
    """Bytes in decimal units, such as `900 B`, `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def parse_size(text: str) -> int:
    """Bytes of a size such as `500MB`, `10 GiB` or `1000000`. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a size")
    return int(float(found[1]) * _SIZES[(found[2] or "").lower()])


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `90`, `90s`, `1h30m` or `30d`. Raises ValueError."""
    plain = text.strip().lower().replace(" ", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw]?)", plain)
    bare = len(parts) > 1 and any(not unit for _, unit in parts)
    if not plain or bare or "".join(number + unit for number, unit in parts) != plain:
        raise ValueError(f"{text!r} is not a duration")
    return sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)


def number(value: float) -> str:
    """Thousands separated by commas; four significant digits of a float."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def significant(value: float) -> str:
    """Two or three significant digits without an exponent, such as `0.25`, `2.1`, `340`."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def rounded(value: float) -> float:
    """A number rounded to three significant digits."""
    return round(value, max(0, 2 - math.floor(math.log10(abs(value))))) if value else 0.0


def percent(fraction: float) -> str:
    """A fraction as `42 %`."""
    return f"{100 * fraction:.0f} %"


def rate(calls_per_s: float) -> str:
    """Calls per second, or per minute below one in ten seconds."""
    return f"{significant(calls_per_s)}/s" if calls_per_s >= 0.1 else f"{significant(calls_per_s * 60)}/min"


def megapixels(pixels_per_s: float) -> str:
    """Such as `1.3 Mpx/s`."""
    return f"{significant(pixels_per_s / 1e6)} Mpx/s"


def ground(km2_per_s: float) -> str:
    """Square kilometres an hour, such as `12,300 km2/h`."""
    per_hour = km2_per_s * 3600
    if per_hour < 100:
        return f"{significant(per_hour)} km2/h"
    return f"{round(per_hour, 2 - math.floor(math.log10(per_hour))):,.0f} km2/h"


def clock(seconds: float) -> str:
    """Local time of day of a time since the epoch, such as `12:03:04`."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def local_time(seconds: float) -> str:
    """Local date and time of a time since the epoch, such as `2024-06-01 12:03`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def utc_time(seconds: float) -> str:
    """Date and time of a time since the epoch, such as `2024-06-01 10:03:04 UTC`."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
