"""Colours of classes that have none of their own: from a palette, apart from the colours that others were given."""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterable, Iterator, Sequence

PALETTE = ("4477AA", "EE6677", "228833", "CCBB44", "66CCEE", "AA3377", "BBBBBB", "EE8866", "44BB99", "FFAABB")
"""Default colours of classes, in order: Paul Tol's bright and light schemes, which are safe for colour-blind readers.
https://personal.sron.nl/~pault/"""
_APART = 80.0
"""Least distance of a default colour from a given one, in RGB of 0..255."""
_GOLDEN = 0.618033988749895
"""Hues that follow at this part of the circle stay apart, however many there are."""


def default_colors(given: Sequence[str | None]) -> tuple[str, ...]:
    """A colour for each class, as six hexadecimal digits: its own where `given` has one, else that of its position in the palette.
    Where that resembles a given one, and beyond the palette, it is another that no class has."""
    colors = [each.removeprefix("#") if each else None for each in given]
    own = [each for each in colors if each]
    for position, color in enumerate(colors):
        if color is None and position < len(PALETTE) and _distance(PALETTE[position], own) >= _APART:
            colors[position] = PALETTE[position]
    others = _others()
    for position, color in enumerate(colors):
        if color is None:
            used = [each for each in colors if each]
            colors[position] = next(
                each
                for each, least in others
                if each not in used and _distance(each, own) >= least and _distance(each, used) >= least / 4
            )
    return tuple(each for each in colors if each is not None)


def _others() -> Iterator[tuple[str, float]]:
    """Colours to choose from, and how far each must be from the given ones: the palette, then hues around the circle, at last any."""
    yield from ((each, _APART) for each in PALETTE)
    for number in itertools.count():
        saturation, value = ((0.75, 0.85), (0.45, 0.6), (0.9, 0.5))[number % 3]
        hue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, saturation, value)
        yield "".join(f"{round(255 * part):02X}" for part in hue), max(0.0, _APART - number / 10)


def _distance(color: str, others: Iterable[str]) -> float:
    """Distance in RGB of the nearest of `others`; infinite for none."""
    one = bytes.fromhex(color)
    return min(
        (sum((a - b) ** 2 for a, b in zip(one, bytes.fromhex(each), strict=True)) ** 0.5 for each in others),
        default=float("inf"),
    )
