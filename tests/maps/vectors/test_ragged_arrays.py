"""Array algorithms against the same in loops."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.maps.vectors.ragged_arrays import (
    Lines,
    connected_components,
    follow_links,
    line_batches,
    ragged_indices,
    starts_of,
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40))
def test_components_are_those_that_walking_along_the_edges_finds(edges: list[tuple[int, int]]) -> None:
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    lowest = list(range(20))
    for _ in range(20):
        for one, other in edges:
            lowest[one] = lowest[other] = min(lowest[one], lowest[other])
    assert connected_components(20, ends[:, 0], ends[:, 1]).tolist() == lowest


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=5), st.lists(st.integers(1, 9), max_size=5), st.randoms())
def test_links_are_followed_list_by_list(paths: list[int], cycles: list[int], random: object) -> None:
    ends = list(range(len(paths)))  # the ends of paths have the lowest numbers
    others = list(range(len(paths), len(paths) + sum(paths) + sum(cycles)))
    random.shuffle(others)  # type: ignore[attr-defined]
    following = np.arange(len(ends) + len(others))
    expected = set()
    for end, length in zip(ends, paths, strict=True):
        path = [others.pop() for _ in range(length)]
        following[path] = [*path[1:], end]
        expected.add((*path, end))
    for length in cycles:
        cycle = [others.pop() for _ in range(length)]
        following[cycle] = [*cycle[1:], cycle[0]]
        first = cycle.index(min(cycle))
        expected.add((*cycle[first:], *cycle[:first]))
    if not len(following):
        return
    order, starts = follow_links(following)
    found = set()
    for start, stop in itertools.pairwise(starts):
        line = order[start:stop].tolist()
        if line[-1] >= len(ends):  # a cycle, which may begin anywhere
            first = line.index(min(line))
            line = [*line[first:], *line[:first]]
        found.add(tuple(line))
    assert found == expected


def test_pieces_are_gathered_end_to_end_and_rotated() -> None:
    origins, lengths = np.array([10, 0, 20]), np.array([3, 0, 2])
    assert starts_of(lengths).tolist() == [0, 3, 3, 5]
    assert ragged_indices(origins, lengths).tolist() == [10, 11, 12, 20, 21]
    assert ragged_indices(origins, lengths, np.array([2, 0, 1])).tolist() == [12, 10, 11, 21, 20]


def test_lines_are_picked_and_put_in_another_order_with_their_owners() -> None:
    lines = Lines(np.arange(12, dtype=np.int32).reshape(2, 6), np.array([0, 2, 3, 6]), np.array([7, 8, 9]))
    some = lines.pick(np.array([True, False, True]))
    assert (some.points[0].tolist(), some.starts.tolist(), some.owners.tolist()) == ([0, 1, 3, 4, 5], [0, 2, 5], [7, 9])
    turned = lines.arranged(np.array([2, 0, 1]))
    assert (turned.points[0].tolist(), turned.owners.tolist()) == ([3, 4, 5, 0, 1, 2], [9, 7, 8])
    assert list(line_batches(np.array([0, 2**20, 2**20 + 1, 2**21 + 9]))) == [(0, 1), (1, 2), (2, 3)]
