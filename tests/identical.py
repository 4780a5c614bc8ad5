"""Compare files that are to be the same, byte for byte, and tell what is not when they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio


def differences(one: Path, other: Path) -> str:
    """Where two files differ: empty when they do not. Of rasters, which pixels and what of the header."""
    first, second = one.read_bytes(), other.read_bytes()
    if first == second:
        return ""
    length = min(len(first), len(second))
    unequal = np.flatnonzero(np.frombuffer(first[:length], np.uint8) != np.frombuffer(second[:length], np.uint8))
    text = f"{one.name}: {len(first)} and {len(second)} bytes"
    if unequal.size:
        text += f"; {unequal.size} of the first {length} differ, from {unequal[0]} to {unequal[-1]}"
    return f"{text}; {_of_rasters(one, other)}" if one.suffix == ".tif" else text


def _of_rasters(one: Path, other: Path) -> str:
    with rasterio.open(one) as first, rasterio.open(other) as second:
        said = [f"{name}: {mine} and {theirs}" for name, mine, theirs in _headers(first, second) if mine != theirs]
        if first.shape == second.shape and first.count == second.count:
            pixels, others = first.read(), second.read()
            rows, columns = np.nonzero((pixels != others).any(axis=0))
            said.append(f"{rows.size} pixels differ")
            if rows.size:
                at = (slice(None), rows[0], columns[0])
                said.append(
                    f"in rows {rows.min()} to {rows.max()} and columns {columns.min()} to {columns.max()}, the first "
                    f"({rows[0]}, {columns[0]}): {pixels[at].tolist()} and {others[at].tolist()}"
                )
    return "; ".join(said)


def _headers(first: rasterio.DatasetReader, second: rasterio.DatasetReader) -> list[tuple[str, object, object]]:
    """What is in two headers: name, of the first, of the second."""
    return [
        ("profile", dict(first.profile), dict(second.profile)),
        ("tags", first.tags(), second.tags()),
        *((f"tags of band {band}", first.tags(band), second.tags(band)) for band in first.indexes),
        ("overviews", first.overviews(1), second.overviews(1)),
    ]
