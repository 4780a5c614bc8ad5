"""Batches on a device: every image comes back in order, and the batch size grows while that is faster."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from swath.models.batching import BatchRunner
from swath.models.torch_predictor import TorchPredictor
from swath.models.unet import UNet


class Machine:
    """A network that doubles its images, on a device with a clock and so much memory. `cost` is what a call takes beside one
    second for each image."""

    def __init__(self, cost: float = 0, room: int = 1000, parallel: int = 1) -> None:
        self.cost, self.room, self.parallel = cost, room, parallel
        self.now = 0.0
        self.sizes: list[int] = []

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(images) > self.room:
            raise MemoryError
        self.sizes.append(len(images))
        self.now += self.cost + -(-len(images) // self.parallel)
        return images * 2

    def batches(self, max_size: int = 64) -> BatchRunner:
        return BatchRunner(self, max_size, clock=lambda: self.now)


def images(count: int, edge: int = 2) -> list[NDArray[np.float32]]:
    return [np.full((3, edge, edge), number, np.float32) for number in range(count)]


@given(
    st.integers(0, 80), st.integers(1, 9), st.integers(1, 8), st.floats(0, 5), st.lists(st.integers(0, 80), max_size=5)
)
@settings(deadline=None)
def test_each_image_comes_back_once_in_order_whatever_the_batches(
    count: int, room: int, parallel: int, cost: float, changes: list[int]
) -> None:
    given_images = images(count)
    for place in changes:
        if place < count:
            given_images[place] = np.full((3, 3, 4), place, np.float32)
    machine = Machine(cost, room, parallel)
    results = list(machine.batches()(given_images))
    assert len(results) == count
    assert all(np.array_equal(result, image * 2) for result, image in zip(results, given_images, strict=True))
    assert max(machine.sizes, default=0) <= room


def test_a_batch_grows_while_that_is_faster_and_no_further() -> None:
    machine = Machine(parallel=8)
    batches = machine.batches()
    list(batches(images(200)))
    assert batches.size == 8
    assert set(machine.sizes[-10:-1]) == {8}


def test_a_batch_does_not_grow_where_nothing_is_gained() -> None:
    batches = Machine().batches()
    list(batches(images(20)))
    assert batches.size == 1


def test_short_memory_halves_the_batch_for_good() -> None:
    machine = Machine(parallel=100, room=5)
    batches = machine.batches()
    assert len(list(batches(images(60)))) == 60
    assert batches.size == 4


def test_one_image_that_is_too_much_is_an_error() -> None:
    with pytest.raises(MemoryError):
        list(Machine(room=0).batches()(images(1)))


def test_a_network_on_the_cpu_goes_through_the_same_batches() -> None:
    torch.manual_seed(1)
    predictor = TorchPredictor(UNet(3, 2, width=4, depth=1).eval(), "unet")
    given_images = [np.random.default_rng(n).standard_normal((3, 16, 16), dtype=np.float32) for n in range(9)]
    for image, result in zip(given_images, BatchRunner(predictor, max_size=4)(given_images), strict=True):
        np.testing.assert_allclose(result, predictor(image[None])[0], atol=1e-5)
    assert 0 < predictor.usage.share <= 1
    assert predictor.usage.seconds > 0
