"""A function that looks farther than its author says, is random, or depends on the block's place is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.contract import UNBOUNDED, ReceptiveField
from swath.models.function_predictor import FunctionPredictor
from swath.models.function_reach import probe_function
from swath.models.network_axes import NetworkAxes

Array = NDArray[np.float32]
RANDOM = np.random.default_rng(1)


def windows(image: Array, radius: int, mode: str = "edge") -> Array:
    padded = np.pad(image, radius, mode=mode)  # type: ignore[call-overload]
    edge = 2 * radius + 1
    return np.lib.stride_tricks.sliding_window_view(padded, (edge, edge))


def box(radius: int) -> Callable[[Array], Array]:
    return lambda block: windows(block[0], radius).mean(axis=(2, 3))


def running_sums(block: Array) -> Array:
    """A mean of 7 x 7 by cumulative sums in double precision: its last bits depend on the row's beginning."""
    total = np.cumsum(np.pad(block[0].astype(float), ((0, 0), (4, 3))), axis=1)
    rows = total[:, 7:] - total[:, :-7]
    total = np.cumsum(np.pad(rows, ((4, 3), (0, 0))), axis=0)
    return (total[7:] - total[:-7]) / 49


def ndwi(block: Array) -> Array:
    return (block[0] - block[1]) / np.maximum(block[0] + block[1], 1)


def large_areas(block: Array) -> Array:
    """Bright pixels with 30 or more bright neighbours in 9 x 9, as class numbers."""
    bright = (block[0] > 0.5 * 255) & (block[1] > 0)
    return bright & (windows(bright, 4, "constant").sum(axis=(2, 3)) >= 30)


def probe(function: Callable[[Array], Array], radius: int, *numbers: int) -> ReceptiveField:
    axes = NetworkAxes(channels="none", numbers=numbers)
    return probe_function(FunctionPredictor(function, "rules:f", "", axes), "rules:f", 2, radius)


@pytest.mark.parametrize(
    ("function", "radius", "numbers"),
    [
        (ndwi, 0, ()), (box(3), 3, ()), (running_sums, 3, ()), (large_areas, 4, (0, 1)),
        (lambda block: block[0] > block[1], 0, (0, 1)),
    ],
)  # fmt: skip
def test_a_true_radius_is_believed(function: Callable[[Array], Array], radius: int, numbers: tuple[int, ...]) -> None:
    assert probe(function, radius, *numbers) == ReceptiveField(radius, 1, True)


@pytest.mark.parametrize(
    ("function", "radius", "numbers", "message"),
    [
        (box(1), 0, (), "1 pixels away, and the spec says radius: 0"),
        (box(9), 8, (), "9 pixels away"),
        (large_areas, 3, (0, 1), "pixels away"),
        (lambda block: block[0] - block[0].mean(), 5, (), "pixels away|another result in a block"),
        (lambda block: block[0] > np.median(block[0]), 5, (0, 1), "pixels away|another result in a block"),
        (lambda block: block[0] + np.arange(block.shape[2]), 0, (), "another result in a block that begins"),
        (lambda block: block[0] / block.max(), 2, (), "pixels away|another result in a block"),
        (lambda block: block[0] + RANDOM.random(block.shape[1:]), 0, (), "another result for the same block"),
        (lambda block: np.kron(block[0, ::2, ::2], np.ones((2, 2)))[: block.shape[1], : block.shape[2]], 1, (), "another result"),
    ],
)  # fmt: skip
def test_a_wrong_radius_is_refused(
    function: Callable[[Array], Array], radius: int, numbers: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        probe(function, radius, *numbers)


def test_the_remedy_names_a_radius_that_is_enough() -> None:
    with pytest.raises(ModelError) as caught:
        probe(box(6), 2)
    found = re.search(r"\((\d+) or more\)", caught.value.remedy)
    assert found is not None
    assert int(found[1]) == 6


def test_a_function_of_the_whole_block_is_not_exact() -> None:
    found = probe(lambda block: block[0] - block[0].mean(), UNBOUNDED)
    assert not found.exact
    assert "whole block" in found.reason
