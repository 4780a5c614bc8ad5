"""Polygons: a coverage that stays one when it is simplified."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swath.maps.vectors.outlines import Outlines
from swath.maps.vectors.polygon import simplify, to_polygons
from swath.maps.vectors.tracer import Strip, Tracer

maps = arrays.arrays(
    np.int16, st.tuples(st.integers(1, 14), st.integers(1, 11)), elements=st.sampled_from([-1, 0, 1, 2])
)


def traced(pixels: np.ndarray, step: int, **more: Any) -> list[Outlines]:
    tracer = Tracer(pixels.shape[1], lambda rows, columns, lengths: lengths.astype(float), **more)
    strips = [tracer.add(Strip(row, pixels[row : row + step])) for row in range(0, len(pixels), step)]
    return [*strips, tracer.finish()]


def shapes(parts: list[Outlines]) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=object), *(shape for part in parts for shape in to_polygons(part))])


@settings(deadline=None, max_examples=60)
@given(maps)
def test_a_noded_coverage_is_one_and_stays_one_when_it_is_simplified(pixels: np.ndarray) -> None:
    parts = traced(pixels, 4, noded=True)
    assert shapely.coverage_is_valid(shapes(parts))
    simple = simplify(parts, 1.5)
    found = shapes([simple])
    assert len(found) == sum(len(part.values) for part in parts)
    assert shapely.is_valid(found).all()
    assert shapely.coverage_is_valid(found)
