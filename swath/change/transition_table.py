"""Transition table: pixels, hectares and share of each transition, as rows, legend, CSV and matrix."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swath.change.comparison import RegionComparison, pixel_area_of, unit_m2
from swath.change.states import StatePair
from swath.change.transitions import NODATA, Transition
from swath.maps.legend import Legend, MapClass


@dataclass(frozen=True)
class TransitionRow:
    """One transition of the table."""

    transition: Transition
    pixels: int
    hectares: float | None
    """None without a CRS."""
    share: float
    """Of the valid pixels, 0 to 1."""


def transition_rows(compared: Iterable[RegionComparison], pair: StatePair) -> tuple[TransitionRow, ...]:
    """The transitions that occur, in the order of their values."""
    pixels, units = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for each in compared:
        for value, count in each.map.counts:
            pixels[value] += count
        for value, area in each.areas:
            units[value] += area
    pixel_area, valid = pixel_area_of(pair.scenes.image), int(pixels[:NODATA].sum())
    return tuple(
        TransitionRow(
            each,
            int(pixels[each.value]),
            None if pixel_area is None else float(units[each.value]) * unit_m2(pixel_area) / 1e4,
            float(pixels[each.value] / valid),
        )
        for each in pair.transitions
        if pixels[each.value]
    )


def transition_legend(rows: Sequence[TransitionRow]) -> Legend:
    """The legend of the change map."""
    return tuple(MapClass(row.transition.value, row.transition.name, row.transition.color) for row in rows)


def transitions_csv(rows: Sequence[TransitionRow]) -> str:
    """CSV with a line for each transition that occurs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["value", "from", "to", "pixels", "hectares", "percent"])
    for row in rows:
        each = row.transition
        hectares = "" if row.hectares is None else f"{row.hectares:.4f}"
        writer.writerow([each.value, each.before.name, each.after.name, row.pixels, hectares, f"{100 * row.share:.4f}"])
    return text.getvalue()


def area_matrix(rows: Sequence[TransitionRow], pair: StatePair) -> dict[str, Any]:
    """For the report: a matrix of areas, from (rows) to (columns), in hectares, or in pixels without a CRS."""
    by_value = {row.transition.value: row for row in rows}
    unit = "pixels" if any(row.hectares is None for row in rows) else "hectares"
    count = len(pair.classes)

    def area(one: MapClass, other: MapClass) -> float:
        row = by_value.get(one.value * count + other.value)
        amount = 0.0 if row is None else row.pixels if row.hectares is None else row.hectares
        return round(amount, 2)

    return {
        "unit": unit,
        "from": pair.names[0],
        "to": pair.names[1],
        "classes": [each.name for each in pair.classes],
        "rows": [[area(one, other) for other in pair.classes] for one in pair.classes],
    }
