"""Numbers as people read them: durations, rates, sizes, times of day."""

from __future__ import annotations

import math
import time


def duration(seconds: float) -> str:
    """Such as `0.4 s`, `12 s`, `3m 05s`, `2h 14m`, `3d 04h`."""
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


def number(value: float) -> str:
    """Three digits that count, such as `0.25`, `2.1`, `340`."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def rate(calls_per_s: float) -> str:
    """Calls per second, or per minute where that is easier to read."""
    return f"{number(calls_per_s)}/s" if calls_per_s >= 0.1 else f"{number(calls_per_s * 60)}/min"


def megapixels(pixels_per_s: float) -> str:
    return f"{number(pixels_per_s / 1e6)} Mpx/s"


def clock(seconds: float) -> str:
    """The local time of day, such as `12:03:04`."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def moment(seconds: float) -> str:
    """The local date and time, such as `2024-06-01 12:03`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def printable(text: str) -> str:
    """Text without control characters, so that what a task wrote cannot steer the terminal. Line ends and tabs stay."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
