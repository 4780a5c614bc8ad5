"""Statistics that are merged from parts are those of all pixels at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.training.chips.band_statistics import BandMoments, merge_moments


@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=8),
    st.floats(-1e6, 1e6),
    st.floats(1e-2, 1e4),
    st.integers(0, 99),
)
def test_pieces_of_any_size_give_what_numpy_gives_of_all(
    sizes: list[int], middle: float, spread: float, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    pieces = [middle + spread * chance.standard_normal((3, size)) for size in [*sizes, 1]]
    whole = np.concatenate(pieces, axis=1)
    found = merge_moments(BandMoments.of(piece) for piece in pieces)
    assert found.count == whole.shape[1]
    np.testing.assert_allclose(found.mean, whole.mean(axis=1), rtol=1e-9, atol=1e-9 * spread)
    np.testing.assert_allclose(found.stddev, whole.std(axis=1), rtol=1e-9, atol=1e-9 * abs(middle))
    assert (found.low == whole.min(axis=1)).all()
    assert (found.high == whole.max(axis=1)).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_small_numbers_are_not_rounded_on_the_way(dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 120, (4, 100_000)).astype(dtype)
    found = merge_moments(BandMoments.of(piece) for piece in np.array_split(pixels, 37, axis=1))
    np.testing.assert_allclose(found.mean, pixels.mean(axis=1, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.stddev, pixels.std(axis=1, dtype=np.float64), rtol=1e-9)


def test_a_band_of_one_value_is_shifted_and_not_divided_by_nothing() -> None:
    (scaling,) = BandMoments.of(np.full((1, 50), 7.0)).value_scaling()
    assert scaling == {"type": "z-score", "mean": 7.0, "stddev": 1.0}
