"""Values of label rasters and maps that are no class: counted where they are read, and told in logs, reports and pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

ValueCounts = tuple[tuple[float | None, int], ...]
"""(value, pixels), most pixels first; None stands for all further values."""
_MOST_VALUES = 20
"""So many values are counted by themselves."""


def count_values(values: NDArray[Any]) -> ValueCounts:
    """Pixels of each value, of an array of any shape."""
    found, counts = np.unique(values, return_counts=True)
    return merge_counts([tuple(zip(found.tolist(), counts.tolist(), strict=True))])


def merge_counts(counts: Iterable[ValueCounts]) -> ValueCounts:
    """The sums of several counts."""
    total: Counter[float | None] = Counter()
    for each in counts:
        for value, pixels in each:
            total[value] += pixels
    others = total.pop(None, 0)
    ordered = sorted(total.items(), key=lambda pair: (-pair[1], pair[0] if pair[0] is not None else 0.0))
    others += sum(pixels for _, pixels in ordered[_MOST_VALUES:])
    return (*ordered[:_MOST_VALUES], *(((None, others),) if others else ()))


def total_pixels(counts: ValueCounts) -> int:
    """Pixels of all values."""
    return sum(pixels for _, pixels in counts)


def unknown_text(counts: ValueCounts, what: str) -> str:
    """One sentence, such as `2,048 pixels of the labels have a value that is no class: 255 (2,048)`; empty for no pixel."""
    if not counts:
        return ""
    values = ", ".join(f"{'others' if value is None else f'{value:g}'} ({pixels:,})" for value, pixels in counts)
    return f"{total_pixels(counts):,} pixels of {what} have a value that is no class: {values}"
