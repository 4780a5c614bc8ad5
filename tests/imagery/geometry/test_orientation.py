"""Pictures of grids in any of the eight orientations show north at the top and east on the right."""

from __future__ import annotations

import numpy as np
import pytest
from affine import Affine

from swath.imagery.geometry.orientation import Orientation

TRUTH = np.array([[1, 2, 3], [4, 5, 6]])
"""North-up: 1 is in the north-west, 6 in the south-east."""


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("south_up", [False, True])
@pytest.mark.parametrize("east_left", [False, True])
def test_the_eight_orientations(transposed: bool, south_up: bool, east_left: bool) -> None:
    stored, affine = TRUTH, Affine(10, 0, 500, 0, -10, 900)
    if south_up:
        stored, affine = stored[::-1], affine @ Affine.translation(0, 2) @ Affine.scale(1, -1)
    if east_left:
        stored, affine = stored[:, ::-1], affine @ Affine.translation(3, 0) @ Affine.scale(-1, 1)
    if transposed:
        stored, affine = stored.T, affine @ Affine(0, 1, 0, 1, 0, 0)
    # The pixel that holds 4 lies at the same place on the ground however it is stored.
    row, col = (int(each[0]) for each in np.nonzero(stored == 4))
    assert affine @ (col + 0.5, row + 0.5) == (505, 885)
    upright = Orientation.of(affine)
    assert (upright.apply(stored) == TRUTH).all()
    assert upright.north_deg == 0
    assert (Orientation.of(affine, georeferenced=False).apply(stored) == stored).all()


@pytest.mark.parametrize("angle", [-100, -30, 0.5, 20, 80, 170])
def test_the_direction_of_north_on_a_turned_grid(angle: float) -> None:
    affine = Affine(10, 0, 500, 0, -10, 900) @ Affine.rotation(angle)
    upright = Orientation.of(affine)
    assert -45 <= upright.north_deg <= 45
    assert (upright.north_deg + angle) % 90 == pytest.approx(0, abs=1e-9) or (
        upright.north_deg + angle
    ) % 90 == pytest.approx(90, abs=1e-9)
