"""The lattice of tiles: it covers an image, and the weights of its tiles sum to one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.models.lattice import Lattice


@given(st.integers(1, 3000), st.sampled_from([1, 2, 3, 7, 8, 14, 32, 56, 64]), st.sampled_from([1, 32, 256]))
@settings(deadline=None)
def test_tiles_cover_the_image_and_their_weights_sum_to_one(length: int, stride: int, smallest: int) -> None:
    lattice = Lattice.of(stride, smallest)
    total = np.zeros(length, np.float32)
    for number in range(lattice.last(length) + 1):
        start, stop = lattice.tile(number, length)
        first, end = lattice.core(number, length)
        assert 0 <= start <= first < end <= stop <= length
        assert start % stride == 0
        assert stop == length or (stop - start) % stride == 0
        assert stop - start >= min(length, smallest)
        weights = lattice.weights(number, length)
        assert (weights > 0).all()
        total[first:end] += weights
        assert number in lattice.touching(first, first + 1, length)
        assert number in lattice.touching(end - 1, end, length)
    np.testing.assert_allclose(total, 1, rtol=1e-6)


@given(st.integers(1, 2000), st.sampled_from([8, 9, 64, 224, 512]))
@settings(deadline=None)
def test_tiles_of_one_size_cover_the_image_and_their_weights_sum_to_one(length: int, size: int) -> None:
    lattice = Lattice.of_size(size)
    total = np.zeros(length, np.float32)
    for number in range(lattice.last(length) + 1):
        start, stop = lattice.tile(number, length)
        first, end = lattice.core(number, length)
        assert stop - start == min(size, length)
        assert 0 <= start <= first < end <= stop <= length
        weights = lattice.weights(number, length)
        assert (weights > 0).all()
        total[first:end] += weights
    np.testing.assert_allclose(total, 1, rtol=1e-6)


@given(st.integers(1, 700), st.integers(0, 699), st.integers(1, 700), st.booleans())
@settings(deadline=None)
def test_the_tiles_of_a_window_are_those_whose_core_has_a_pixel_of_it(
    length: int, start: int, more: int, fixed: bool
) -> None:
    lattice = Lattice.of_size(64) if fixed else Lattice(64, 40, 8)
    start = start % length
    stop = min(length, start + more)
    cores = [lattice.core(number, length) for number in range(lattice.last(length) + 1)]
    expected = [n for n, (first, end) in enumerate(cores) if first < stop and end > start]
    assert list(lattice.touching(start, stop, length)) == expected
