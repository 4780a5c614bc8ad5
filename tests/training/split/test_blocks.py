"""Blocks on the Earth: their shares, and the buffer around those that are not trained on."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod

from swath.training.split.blocks import LatitudeBlocks
from swath.training.split.split import BUFFER, TEST, TRAIN, VALIDATION

WGS84 = Geod(ellps="WGS84")


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-180, 180), st.floats(-89.9, 89.9), st.floats(100, 50_000), st.floats(0, 0.5), st.integers(0, 2**63),
    st.floats(0, 360), st.floats(0, 0.999),
)  # fmt: skip
def test_what_is_within_the_buffer_of_a_training_place_is_trained_on_or_in_no_split(
    longitude: float, latitude: float, size: float, part: float, seed: int, bearing: float, share: float
) -> None:
    blocks = LatitudeBlocks(size, size * part, 0.4, 0.1, seed)
    (here,) = blocks.of(np.array([longitude]), np.array([latitude]))
    east, north, _ = WGS84.fwd(longitude, latitude, bearing, size * part * share)
    (there,) = blocks.of(np.array([east]), np.array([north]))
    if here == TRAIN:
        assert there in (TRAIN, BUFFER)


def test_shares_of_blocks_are_as_asked_for_and_a_test_takes_nothing_from_validation() -> None:
    longitude, latitude = np.meshgrid(np.linspace(-170, 170, 300), np.linspace(-80, 80, 200))
    found = LatitudeBlocks(2000, 0, 0.2, 0.1, 11).of(longitude, latitude)
    assert abs((found == VALIDATION).mean() - 0.2) < 0.01
    assert abs((found == TEST).mean() - 0.1) < 0.01
    assert (
        (LatitudeBlocks(2000, 0, 0.2, 0.0, 11).of(longitude, latitude) == VALIDATION) == (found == VALIDATION)
    ).all()
    assert (LatitudeBlocks(2000, 0, 0.2, 0.1, 12).of(longitude, latitude) != found).any()
