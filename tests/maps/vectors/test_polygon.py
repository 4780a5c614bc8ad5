"""Polygons: a coverage that stays one when it is simplified."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from shapely.affinity import affine_transform

from swath.maps.vectors.outlines import Outlines
from swath.maps.vectors.polygon import object_bounds, simplify, to_polygons, to_wkb
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


def test_objects_written_one_by_one_are_those_of_the_whole_on_a_turned_grid() -> None:
    pixels = np.array([[0, 0, 1], [0, 2, 1], [1, 1, 1], [2, 2, 2], [2, 0, 2], [2, 2, 2]], np.int16)
    (found,) = (each for each in traced(pixels, 6, noded=True) if len(each.values) > 1)
    turned = Affine(20, 15, 400_000, 15, -20, 5_000_000)
    firsts = np.searchsorted(found.owners, np.arange(len(found.values) + 1)).tolist()
    whole = to_wkb(found, slice(0, firsts[-1]), turned)
    places = [slice(start, stop) for start, stop in itertools.pairwise(firsts)]
    assert [to_wkb(found, rings, turned)[0] for rings in places] == whole
    made = shapely.from_wkb(whole)
    expected = [affine_transform(shape, [20, 15, 15, -20, 400_000, 5_000_000]) for shape in shapes([found])]
    assert all(shapely.equals(one, other) for one, other in zip(made, expected, strict=True))
    for number, rings in enumerate(places):
        (bounds,) = object_bounds(found, slice(number, number + 1), rings, turned)
        assert bounds.tolist() == list(expected[number].bounds)
