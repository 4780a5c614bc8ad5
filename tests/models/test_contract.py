"""What follows from a model's description."""

from __future__ import annotations

import numpy as np
import pytest

from swath.models.contract import DTYPE_RANGES, Contract, ModelInfo


@pytest.mark.parametrize("stride", [1, 8, 14])
def test_a_model_without_a_bound_asks_for_whole_tiles(stride: int) -> None:
    info = ModelInfo("m", "pt2", "0", Contract("m", ("red",), "classes"), None, 64, stride, False, "a norm")
    assert info.lattice is not None
    assert info.halo == info.lattice.edge > 500
    assert info.halo % stride == 0


def test_ranges_of_integers_are_those_of_numpy() -> None:
    for name, limits in DTYPE_RANGES.items():
        if name != "float32":
            assert limits == (np.iinfo(name).min, np.iinfo(name).max)
