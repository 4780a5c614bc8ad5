"""Blended tiles: the same bits for every window, and borders that show less than hard cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from swath.geo import Window
from swath.models.blend import blended, seam_excess
from swath.models.lattice import Lattice
from swath.models.torch_predictor import TorchPredictor
from swath.models.unet import UNet

SMALL = Lattice(edge=24, step=14, discard=3)


def whole(image: tuple[int, int]) -> Window:
    return Window(0, 0, *image)


def around(inner: Window, edge: int, image: tuple[int, int]) -> Window:
    row, col = max(0, inner.row - edge), max(0, inner.col - edge)
    return Window(row, col, min(image[0], inner.stop_row + edge) - row, min(image[1], inner.stop_col + edge) - col)


class Shifting:
    """A network that says something else of a pixel in each tile, as one with a norm over the tile does."""

    def __init__(self, pixels: NDArray[np.float32], source: Window) -> None:
        self._pixels, self._source = pixels, source

    def __call__(self, tile: Window) -> NDArray[np.float32]:
        seen = self._pixels[tile.within(self._source)]
        shifted = np.stack([seen - seen.mean(), seen / (1 + seen.std())])
        return np.pad(shifted, ((0, 0), (0, 4), (0, 4)))  # filled up to a stride


def one(pixels: NDArray[np.float32], inner: Window, lattice: Lattice, valid: Any = None) -> NDArray[np.float32] | None:
    image = (pixels.shape[0], pixels.shape[1])
    source = around(inner, lattice.edge, image)
    here = source.within(whole(image))
    known = np.ones(image, np.bool_) if valid is None else valid
    return blended(Shifting(pixels[here], source), lattice, known[here], source, inner, image)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((height, width), dtype=np.float32).cumsum(1)


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], Window]:
    image = (draw(st.integers(1, 90)), draw(st.integers(1, 90)))
    row, col = draw(st.integers(0, image[0] - 1)), draw(st.integers(0, image[1] - 1))
    return image, Window(row, col, draw(st.integers(1, image[0] - row)), draw(st.integers(1, image[1] - col)))


@given(windows(), st.integers(0, 3), st.sampled_from([SMALL, Lattice.of_size(24)]))
@settings(deadline=None)
def test_a_pixel_has_the_same_bits_whichever_window_asks(
    case: tuple[tuple[int, int], Window], seed: int, lattice: Lattice
) -> None:
    image, inner = case
    pixels = noise(*image, seed)
    all_of_it, part = one(pixels, whole(image), lattice), one(pixels, inner, lattice)
    assert all_of_it is not None
    assert part is not None
    assert np.array_equal(part, all_of_it[:, *inner.roi])


def test_an_image_smaller_than_a_tile_is_one_pass() -> None:
    pixels = noise(20, 11)
    found = one(pixels, whole((20, 11)), SMALL)
    assert found is not None
    assert np.array_equal(found, Shifting(pixels, whole((20, 11)))(whole((20, 11)))[:, :20, :11])


def test_tiles_without_a_valid_pixel_run_no_network() -> None:
    pixels, valid = noise(80, 80), np.zeros((80, 80), np.bool_)
    assert one(pixels, Window(0, 0, 40, 40), SMALL, valid) is None
    valid[79, 79] = True
    assert one(pixels, Window(0, 0, 20, 20), SMALL, valid) is None
    assert one(pixels, Window(60, 60, 20, 20), SMALL, valid) is not None


def test_a_source_without_all_tiles_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not contain"):
        blended(
            Shifting(noise(40, 40), Window(10, 10, 40, 40)), SMALL, np.ones((40, 40), np.bool_), Window(10, 10, 40, 40),
            Window(20, 20, 10, 10), (80, 80),
        )  # fmt: skip


def test_a_seam_is_told_from_a_picture_without_one() -> None:
    flat = np.random.default_rng(0).standard_normal((200, 200))
    stepped = flat.copy()
    stepped[100:] += 20
    assert seam_excess(flat, [100], []) == pytest.approx(1, abs=0.2)
    assert seam_excess(stepped, [100], []) > 10
    assert seam_excess(stepped, [50], [60]) < 1.3
    classes = (np.indices((64, 64)).sum(0) // 5 % 2).astype(np.uint8)
    assert seam_excess(classes, [32], [32]) == pytest.approx(1, abs=0.3)
    assert np.isnan(seam_excess(np.zeros((64, 64)), [32], []))
    assert np.isnan(seam_excess(flat, [], []))


def test_blending_shows_less_than_hard_cuts_on_real_imagery(shared: Path) -> None:
    torch.manual_seed(4)
    network = UNet(3, 2, width=8, depth=2)
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for place, layer in enumerate(module):
                if isinstance(layer, nn.BatchNorm2d):
                    module[place] = nn.GroupNorm(2, layer.num_features)
    predictor = TorchPredictor(network.eval(), "groups")
    path = sorted((shared / "data/imagery").rglob("*.tif"))[0]
    with rasterio.open(path) as file:
        size = (min(700, file.height), min(700, file.width))
        pixels = file.read([1, 2, 3], window=((0, size[0]), (0, size[1]))).astype(np.float32)
    pixels = (pixels - pixels.mean()) / pixels.std()
    lattice = Lattice(edge=192, step=120, discard=24)

    def run(tile: Window) -> NDArray[np.float32]:
        height, width = (-(-length // 4) * 4 for length in tile.shape)
        images = np.zeros((1, 3, height, width), np.float32)
        images[0, :, : tile.height, : tile.width] = pixels[:, *tile.roi]
        said: NDArray[np.float32] = predictor(images)[0]
        return said

    soft = blended(run, lattice, np.ones(size, np.bool_), whole(size), whole(size), size)
    assert soft is not None
    hard = np.zeros_like(soft)
    for row in range(0, size[0], lattice.step):
        for col in range(0, size[1], lattice.step):
            inner = Window(row, col, min(lattice.step, size[0] - row), min(lattice.step, size[1] - col))
            tile = around(inner, 36, size)
            hard[:, *inner.roi] = run(tile)[:, *inner.within(tile)]
    cuts = [range(lattice.step, length, lattice.step) for length in size]
    assert seam_excess(hard, *cuts) > 1.1
    assert seam_excess(soft, *(lattice.borders(length) for length in size)) < 1 + (seam_excess(hard, *cuts) - 1) / 3


def test_steps_beside_borders_are_found_on_either_axis_alone() -> None:
    values = np.zeros((40, 200), np.float32)
    values[:, 100:] += 1
    values[:, ::2] += 0.1
    rows_only = seam_excess(values.T, [100], [])
    assert rows_only == pytest.approx(seam_excess(values, [], [100]))
    assert seam_excess(values, [0, 40], [100]) == pytest.approx(rows_only)  # borders at the edge are none
