"""Counting of crossing edges: stars are found fast, honest polygons of many vertices are let through."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import shapely

from swath.spec.fields.crossings import has_too_many_crossings

BOW_TIE = [(0, 0), (2, 2), (2, 0), (0, 2)]


def star(points: int) -> shapely.Polygon:
    return shapely.Polygon(np.random.default_rng(2).random((points, 2)))


def crossings(polygon: Any) -> int:
    """By each pair of edges."""
    ends = shapely.get_coordinates(polygon)
    edges = shapely.linestrings(np.stack([ends[:-1], ends[1:]], axis=1))
    one, other = np.triu_indices(len(edges), 1)
    return int(shapely.crosses(edges[one], edges[other]).sum())


@pytest.mark.parametrize("polygon", [shapely.Polygon(BOW_TIE), star(12), star(60)])
def test_the_limit_is_exact(polygon: Any) -> None:
    number = crossings(polygon)
    assert number > 0
    assert not has_too_many_crossings([polygon], number)
    assert has_too_many_crossings([polygon], number - 1)


def test_the_crossings_of_all_polygons_count_and_missing_and_valid_ones_do_not() -> None:
    bow_tie = shapely.Polygon(BOW_TIE)
    assert not has_too_many_crossings([bow_tie, None, shapely.box(0, 0, 1, 1), shapely.Polygon()], 1)
    assert has_too_many_crossings([bow_tie, shapely.MultiPolygon([bow_tie])], 1)
    nested = shapely.GeometryCollection([shapely.MultiPolygon([bow_tie]), shapely.Point(0, 0)])
    assert has_too_many_crossings([bow_tie, nested], 1)
    assert not has_too_many_crossings([], 0)
    assert not has_too_many_crossings([shapely.LineString([(1, 1), (1, 1)])], 0)


def test_edges_on_one_line_count_and_touching_rings_do_not() -> None:
    back_and_forth = shapely.Polygon([(0, 0), (5, 0), (1, 0), (4, 0), (2, 0), (2, 3)])
    assert has_too_many_crossings([back_and_forth], 2)
    squares_at_a_corner = shapely.Polygon([(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (1, 2), (1, 1), (0, 1)])
    assert not squares_at_a_corner.is_valid
    assert not has_too_many_crossings([squares_at_a_corner], 0)


def test_a_star_of_any_size_is_found_fast() -> None:
    began = time.perf_counter()
    assert has_too_many_crossings([star(30_000)])
    assert time.perf_counter() - began < 10
