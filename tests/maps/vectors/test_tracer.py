"""Tracing: whole objects whatever the strips are, in an order that the map alone decides, with little in memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swath.maps.vectors.outlines import Outlines
from swath.maps.vectors.polygon import to_polygons
from swath.maps.vectors.tracer import Strip, Tracer
from tests.process import ROOT

maps = arrays.arrays(
    np.int16, st.tuples(st.integers(1, 14), st.integers(1, 11)), elements=st.sampled_from([-1, 0, 1, 2])
)


def traced(pixels: np.ndarray, step: int, **more: Any) -> list[Outlines]:
    tracer = Tracer(pixels.shape[1], lambda rows, columns, lengths: lengths.astype(float), **more)
    strips = [tracer.add(Strip(row, pixels[row : row + step])) for row in range(0, len(pixels), step)]
    return [*strips, tracer.finish()]


def told(parts: list[Outlines]) -> list[tuple[Any, ...]]:
    found = []
    for part in parts:
        rings = [
            (part.rows[start:stop].tolist(), part.columns[start:stop].tolist())
            for start, stop in zip(part.starts[:-1], part.starts[1:], strict=True)
        ]
        for number in range(len(part.values)):
            own = [ring for ring, owner in zip(rings, part.owners, strict=True) if owner == number]
            found.append((int(part.values[number]), int(part.pixels[number]), float(part.weights[number]), own))
    return found


def shapes(parts: list[Outlines]) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=object), *(shape for part in parts for shape in to_polygons(part))])


@settings(deadline=None, max_examples=60)
@given(maps, st.integers(1, 4))
def test_the_strips_leave_no_trace(pixels: np.ndarray, step: int) -> None:
    assert told(traced(pixels, step)) == told(traced(pixels, 100))


@settings(deadline=None, max_examples=60)
@given(maps)
def test_objects_are_whole_valid_and_in_the_order_of_their_last_rows(pixels: np.ndarray) -> None:
    parts = traced(pixels, 3)
    found = shapes(parts)
    assert shapely.is_valid(found).all()
    assert shapely.area(found).tolist() == [pixel for part in parts for pixel in part.pixels]
    assert sum(shapely.area(found)) == (pixels >= 0).sum()
    lasts = [max(rings[0][0]) for *_, rings in told(parts)]
    assert lasts == sorted(lasts)


@settings(deadline=None, max_examples=60)
@given(maps)
def test_rings_enclose_as_many_pixels_as_they_say(pixels: np.ndarray) -> None:
    for part in traced(pixels, 5):
        own = np.bincount(part.owners, part.ring_pixels() * np.where(np.diff(part.owners, prepend=-1) > 0, 1, -1))
        assert own.tolist() == part.pixels.tolist()
        assert told([part.pick(part.pixels > 1)]) == [each for each in told([part]) if each[1] > 1]


def test_strips_must_follow_each_other() -> None:
    tracer = Tracer(4, lambda rows, columns, lengths: lengths.astype(float))
    tracer.add(Strip(0, np.zeros((2, 4), dtype=np.int16)))
    with pytest.raises(ValueError, match="expected row 2, got 3"):
        tracer.add(Strip(3, np.zeros((2, 4), dtype=np.int16)))


PEAKS = """
import gc, tracemalloc
import numpy as np
from swath.maps.vectors.tracer import Strip, Tracer

strip = (np.random.default_rng(1).random((32, 512)) < 0.1).astype(np.int16) - 1

def peak(strips):
    gc.collect()
    tracer = Tracer(512, lambda rows, columns, lengths: lengths.astype(float))
    tracemalloc.start()
    for number in range(strips):
        tracer.add(Strip(number * 32, strip))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most

peak(6)
print(peak(6), peak(60))
"""


def test_memory_does_not_grow_with_the_number_of_strips() -> None:
    """In a process of its own: threads that other tests have left allocate memory, too."""
    printed = subprocess.run(
        [sys.executable, "-c", PEAKS], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    few, many = (int(number) for number in printed.stdout.split())
    assert many < 1.2 * few
