"""The legend of a map: the names and colours of its values, and how much of the map each covers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swath.spec.fields.class_colors import default_colors

if TYPE_CHECKING:
    from swath.spec.fields.labels import LabelClass


@dataclass(frozen=True)
class MapClass:
    """One class of a map."""

    value: int
    """The value in the map, 0..255."""
    name: str
    color: tuple[int, int, int]
    """RGB, 0..255."""

    @property
    def hex(self) -> str:
        """The colour as `#rrggbb`."""
        return "#{:02x}{:02x}{:02x}".format(*self.color)


Legend = tuple[MapClass, ...]
"""The classes of a map; empty for a map of values."""


def legend_from_classes(classes: Iterable[LabelClass]) -> Legend:
    """The legend of the classes of a spec: values are their positions, colours their own or default ones."""
    listed = list(classes)
    colors = default_colors([each.color for each in listed])
    return tuple(
        MapClass(value, each.name, parse_rgb(color))
        for value, (each, color) in enumerate(zip(listed, colors, strict=True))
    )


def parse_rgb(text: str) -> tuple[int, int, int]:
    """(red, green, blue), 0..255, of six hexadecimal digits with or without #."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def color_table(legend: Legend, nodata: float) -> dict[int, tuple[int, int, int, int]]:
    """RGBA of all values of a byte: the classes' colours, black for other values, transparent for nodata."""
    table = dict.fromkeys(range(256), (0, 0, 0, 255))
    table.update({each.value: (*each.color, 255) for each in legend})
    if 0 <= nodata <= 255 and int(nodata) not in {each.value for each in legend}:
        table[int(nodata)] = (0, 0, 0, 0)
    return table


@dataclass(frozen=True)
class ClassShare:
    """How much of a map one class covers."""

    value: int
    name: str
    color: str
    """`#rrggbb`."""
    pixels: int
    fraction: float
    """Share of the valid pixels, 0..1."""


def class_shares(legend: Legend, counts: dict[int, int]) -> tuple[ClassShare, ...]:
    """The share of each class in the legend's order, from the number of pixels of each value (nodata left out)."""
    total = sum(counts.values())
    return tuple(
        ClassShare(
            each.value,
            each.name,
            each.hex,
            counts.get(each.value, 0),
            counts.get(each.value, 0) / total if total else 0.0,
        )
        for each in legend
    )
