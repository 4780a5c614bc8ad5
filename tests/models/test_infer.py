"""Inference: tiles equal the whole image bit for bit, and what is no prediction is nodata."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from torch import nn

from swath.errors import ModelError
from swath.geo import Blocks, Window
from swath.models.contract import DTYPE_RANGES, Contract, ModelClass, ModelInfo
from swath.models.infer import infer, map_values, network_output
from swath.models.info import inspect
from swath.models.load import load_model
from swath.models.predictor import Predictor
from swath.models.receptive import measure_predictor
from swath.models.torch_predictor import TorchPredictor
from swath.models.unet import UNet
from swath.spec.fields.model import ModelRef
from tests.models.cloud_contracts import ENDINGS, write_cloud_contract
from tests.models.fixed_models import PatchTransformer, transformer
from tests.models.tiny_models import integer_unet, write_identity_model, write_integer_unet

CLASSES = Contract(
    name="three",
    bands=("red", "green", "blue"),
    output="classes",
    classes=(ModelClass(10, "a", (0, 0, 0)), ModelClass(20, "b", (0, 0, 0)), ModelClass(30, "c", (0, 0, 0))),
)
PROBABILITY = replace(CLASSES, classes=CLASSES.classes[:2], threshold=0.5)
VALUES = Contract(name="numbers", bands=("red",), output="values", dtype="uint8", nodata=255)
TOP = Window(0, 0, 1, 4)


def info_of(contract: Contract, radius: int = 0, stride: int = 1) -> ModelInfo:
    return ModelInfo("network.pt2", "pt2", "0" * 64, contract, None, radius, stride, True)


def picture(height: int, width: int, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Blobs and noise in whole numbers."""
    random = np.random.default_rng(seed)
    coarse = np.kron(random.integers(0, 200, (bands, height // 8 + 1, width // 8 + 1)), np.ones((1, 8, 8)))
    return (coarse[:, :height, :width] + random.integers(0, 56, (bands, height, width))).astype(np.uint8)


def whole(predictor: Predictor, info: ModelInfo, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    everything = Window(0, 0, *pixels.shape[1:])
    return infer(predictor, info, pixels, valid, everything, everything)[0]


def tiled(
    predictor: Predictor, info: ModelInfo, pixels: NDArray[Any], valid: NDArray[np.bool_], size: int, halo: int
) -> NDArray[Any]:
    height, width = pixels.shape[1:]
    image = GeoBox((height, width), Affine(10, 0, 0, 0, -10, 0), "EPSG:32633")
    parts = []
    for block in Blocks(image, Window(0, 0, height, width), size, halo, info.stride):
        at = (slice(None), *block.source.roi)
        parts.append(
            (block.window, infer(predictor, info, pixels[at], valid[block.source.roi], block.source, block.window)[0])
        )
    pieces = np.zeros((len(parts[0][1]), height, width), parts[0][1].dtype)
    for window, part in parts:
        pieces[(slice(None), *window.roi)] = part
    return pieces


@cache
def integer_network() -> tuple[Predictor, ModelInfo]:
    predictor = TorchPredictor(integer_unet(), "integer")
    receptive = measure_predictor(predictor, 3)
    assert receptive.exact
    return predictor, info_of(CLASSES, receptive.radius, receptive.stride)


def test_the_integer_network_computes_without_rounding() -> None:
    images = torch.from_numpy(picture(64, 64).astype(np.float64)[None])
    network = integer_unet()
    with torch.inference_mode():
        single = network(images.float()).double()
        double = network.double()(images)
    assert torch.equal(single, double)
    assert len(torch.unique(double.argmax(1))) == 3


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(20, 150),
    width=st.integers(20, 150),
    size=st.integers(12, 90),
    more=st.integers(0, 9),
    holes=st.booleans(),
)
def test_tiles_equal_the_whole_image_bit_for_bit(height: int, width: int, size: int, more: int, holes: bool) -> None:
    predictor, info = integer_network()
    pixels = picture(height, width, seed=height)
    valid = np.ones((height, width), np.bool_)
    if holes:
        valid[height // 3 : height // 2, : width // 2] = False
    expected = whole(predictor, info, pixels, valid)
    assert np.array_equal(tiled(predictor, info, pixels, valid, size, info.radius + more), expected)


def test_a_halo_below_the_radius_shows_seams() -> None:
    predictor, info = integer_network()
    pixels, valid = picture(150, 150), np.ones((150, 150), np.bool_)
    expected = whole(predictor, info, pixels, valid)
    assert np.array_equal(tiled(predictor, info, pixels, valid, 40, info.radius), expected)
    assert not np.array_equal(tiled(predictor, info, pixels, valid, 40, 4), expected)


def test_a_halo_one_below_the_radius_is_too_small() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Conv2d(1, 1, 3, padding=1, bias=False))
    for weights in network.parameters():
        nn.init.ones_(weights)
    predictor = TorchPredictor(network, "sums")
    contract = replace(VALUES, dtype="int32", nodata=-1, channels=1)
    radius = measure_predictor(predictor, 1).radius
    pixels, valid = picture(60, 60, bands=1), np.ones((60, 60), np.bool_)
    expected = whole(predictor, info_of(contract), pixels, valid)
    for halo in range(radius + 2):
        same = np.array_equal(tiled(predictor, info_of(contract), pixels, valid, 16, halo), expected)
        assert same == (halo >= radius)


def test_origins_off_the_stride_are_seen_as_seams() -> None:
    predictor, info = integer_network()
    pixels, valid = picture(120, 120), np.ones((120, 120), np.bool_)
    unaligned, inner = Window(1, 1, 119, 119), Window(40, 40, 40, 40)
    piece, _ = infer(predictor, info, pixels[:, 1:, 1:], valid[1:, 1:], unaligned, inner)
    assert not np.array_equal(piece, whole(predictor, info, pixels, valid)[:, 40:80, 40:80])


def test_float_weights_differ_between_tilings_in_the_last_digits_at_most() -> None:
    torch.manual_seed(0)
    predictor = TorchPredictor(UNet(3, 3, width=8, depth=2).eval(), "float")
    receptive = measure_predictor(predictor, 3)
    step = {"type": "z-score", "mean": 128, "stddev": 64}
    contract = replace(VALUES, bands=CLASSES.bands, channels=3, dtype="float32", nodata=math.nan, scaling=(step,))
    info = info_of(contract, receptive.radius, receptive.stride)
    pixels, valid = picture(203, 181), np.ones((203, 181), np.bool_)
    expected = whole(predictor, info, pixels, valid)
    for size in (24, 57, 128):
        difference = np.abs(tiled(predictor, info, pixels, valid, size, info.radius) - expected).max()
        assert difference <= 2e-6 * np.abs(expected).max()


def constant(output: NDArray[np.float32]) -> Predictor:
    return lambda images: output[None]


def test_the_largest_channel_wins_and_the_lowest_of_equals() -> None:
    output = np.array([[[1, 2, 5, 0]], [[3, 2, 5, 0]], [[2, 2, 6, -0.0]]], np.float32)
    assert map_values(output, CLASSES).tolist() == [[[20, 10, 30, 10]]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_the_running_maximum_is_argmax(seed: int, channels: int) -> None:
    output = np.random.default_rng(seed).integers(-3, 3, (channels, 9, 11)).astype(np.float32)
    contract = replace(CLASSES, classes=tuple(ModelClass(n, str(n), (0, 0, 0)) for n in range(channels)))
    assert np.array_equal(map_values(output, contract)[0], output.argmax(0))


def test_nan_never_becomes_a_class() -> None:
    output = np.array([[[np.nan, 1, 1, 9]], [[1, np.nan, 1, 1]], [[0, 0, np.nan, 1]]], np.float32)
    pixels, valid = np.zeros((3, 1, 4), np.uint8), np.ones((1, 4), np.bool_)
    decided, kept = infer(constant(output), info_of(CLASSES), pixels, valid, TOP, TOP)
    assert decided.tolist() == [[[255, 255, 255, 10]]]
    assert kept.tolist() == [[False, False, False, True]]
    assert map_values(np.array([[[np.nan, 0.5, 0.4999]]], np.float32), PROBABILITY).tolist() == [[[255, 20, 10]]]


@pytest.mark.parametrize("dtype", [d for d in DTYPE_RANGES if d != "float32"])
def test_numbers_that_do_not_fit_are_nodata_and_never_wrap(dtype: str) -> None:
    low, high = DTYPE_RANGES[dtype]
    output = np.array([[[np.nan, np.inf, -np.inf, high * 2.0 + 2, low * 2.0 - 2, 7.4, 7.5, 8.5]]], np.float32)
    decided = map_values(output, replace(VALUES, dtype=dtype, nodata=3))
    assert decided.dtype == dtype
    assert decided.tolist() == [[[3, 3, 3, 3, 3, 7, 8, 8]]]


def test_nan_is_nodata_in_a_map_of_floats() -> None:
    output = np.array([[[np.nan, np.inf, 1.5]], [[2.5, np.inf, 2.5]]], np.float32)
    contract = replace(VALUES, dtype="float32", nodata=math.nan, channels=2)
    pixels, valid = np.zeros((1, 1, 3), np.float32), np.ones((1, 3), np.bool_)
    top = Window(0, 0, 1, 3)
    decided, kept = infer(constant(output), info_of(contract), pixels, valid, top, top)
    np.testing.assert_array_equal(decided, [[[np.nan, np.nan, 1.5]], [[2.5, np.nan, 2.5]]])
    assert kept.tolist() == [[True, False, True]]
    assert map_values(output, replace(contract, nodata=-9999))[0, 0].tolist() == [-9999, -9999, 1.5]


def test_invalid_pixels_are_nodata_and_reach_the_network_as_zeros() -> None:
    seen: list[NDArray[np.float32]] = []

    def predictor(images: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(images)
        return images

    step = {"type": "offset", "value": 5}
    contract = replace(VALUES, scaling=(step,), dtype="float32", nodata=-1)
    pixels = np.array([[[7, np.nan, 9, 2]]], np.float32)
    valid = np.array([[True, False, True, False]])
    decided, kept = infer(predictor, info_of(contract, stride=3), pixels, valid, TOP, TOP)
    assert decided.tolist() == [[[2, -1, 4, -1]]]
    assert kept.tolist() == valid.tolist()
    # Padded at the bottom and the right to multiples of the stride, with the same zeros.
    assert seen[0].tolist() == [[[[2, 0, 4, 0, 0, 0], [0] * 6, [0] * 6]]]


def test_a_piece_without_valid_pixels_is_nodata_and_runs_no_network() -> None:
    def predictor(images: NDArray[np.float32]) -> NDArray[np.float32]:
        raise AssertionError("not to be called")

    pixels, valid = np.zeros((3, 1, 4), np.uint8), np.zeros((1, 4), np.bool_)
    decided, kept = infer(predictor, info_of(CLASSES), pixels, valid, TOP, Window(0, 1, 1, 2))
    assert decided.tolist() == [[[255, 255]]]
    assert decided.dtype == np.uint8
    assert not kept.any()


def test_channels_that_do_not_match_the_contract_are_refused() -> None:
    pixels, valid = np.zeros((3, 1, 4), np.uint8), np.ones((1, 4), np.bool_)
    for contract, channels, expected in ((CLASSES, 2, 3), (PROBABILITY, 2, 1), (replace(VALUES, channels=1), 3, 1)):
        bands = pixels[: len(contract.bands)]
        with pytest.raises(ModelError, match=f"gives {channels} channels, but its contract says {expected}"):
            infer(constant(np.zeros((channels, 1, 4), np.float32)), info_of(contract), bands, valid, TOP, TOP)


def test_the_identity_model_gives_the_pixels_back(tmp_path: Path) -> None:
    info = inspect(ModelRef(path=str(write_identity_model(tmp_path))))
    pixels, valid = picture(70, 45), np.ones((70, 45), np.bool_)
    assert np.array_equal(tiled(load_model(info), info, pixels, valid, 32, info.halo), pixels)


def test_the_exported_integer_network_has_no_seams(tmp_path: Path) -> None:
    info = inspect(ModelRef(path=str(write_integer_unet(tmp_path))))
    pixels, valid = picture(101, 118), np.ones((101, 118), np.bool_)
    expected = whole(load_model(info), info, pixels, valid)
    assert len(np.unique(expected)) == 3
    assert np.array_equal(tiled(load_model(info), info, pixels, valid, 32, info.halo), expected)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")  # the labelled images have none
@pytest.mark.parametrize(
    ("name", "fmt", "sensor"),
    [
        ("clouds_rgbiswir", "onnx", "sentinel2"),
        ("clouds_rgbiswir", "onnx", "landsat7"),
        ("clouds_rgbi", "pt2", "sentinel2"),
    ],
)
def test_cloud_scores_are_the_reference_scores(shared: Path, tmp_path: Path, name: str, fmt: str, sensor: str) -> None:
    reference = json.loads((shared / "data/expected/reference_scores.json").read_text())[name][sensor]["cloud_iou"]
    contract = write_cloud_contract(tmp_path / "c.json", name, fmt)
    info = inspect(ModelRef(path=str(shared / f"data/models/{name}{ENDINGS[fmt]}"), contract=str(contract)))
    with rasterio.open(shared / f"data/labels/clouds/{sensor}_img.tif") as image:
        pixels = image.read(list(range(1, len(info.contract.bands) + 1))) / np.float32(10000)
    with rasterio.open(shared / f"data/labels/clouds/{sensor}_mask.tif") as mask:
        cloud = mask.read(1) == 4
    found = tiled(load_model(info), info, pixels, np.ones(cloud.shape, np.bool_), 256, info.halo)[0] == 1
    assert abs((found & cloud).sum() / (found | cloud).sum() - reference) < 0.001


SCALED = replace(CLASSES, scaling=({"type": "z-score", "mean": 100, "stddev": 50},))


def of_one_size(network: PatchTransformer, size: int) -> tuple[Predictor, ModelInfo]:
    predictor = TorchPredictor(network, "fixed")
    found = measure_predictor(predictor, 3, size)
    return predictor, replace(info_of(SCALED), exact=False, size=found.size, smallest=found.smallest)


def by_hand(network: nn.Module, image: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Squares of the image one by one through the network, the last of each row and column moved in, their cores averaged with
    Hann weights: written without anything of swath."""
    step, discard = size * 5 // 8, size // 8
    core = size - 2 * discard

    def squares(length: int) -> list[tuple[int, NDArray[np.float64]]]:
        if length <= size:
            return [(0, np.ones(length))]
        starts = [*range(0, length - size, step), length - size]
        found = []
        for start in starts:
            at = np.arange(size) - discard + 0.5
            weights = np.where((at > 0) & (at < core), np.sin(np.pi * at / core) ** 2, 0)
            if start == 0:
                weights[: size // 2] = 1
            if start == length - size:
                weights[size // 2 :] = 1
            found.append((start, weights))
        return found

    total, weight = np.zeros((3, *image.shape[1:])), np.zeros(image.shape[1:])
    for top, rows in squares(image.shape[1]):
        for left, columns in squares(image.shape[2]):
            at = (slice(top, top + len(rows)), slice(left, left + len(columns)))
            square = torch.zeros(1, 3, size, size)
            square[0, :, : len(rows), : len(columns)] = torch.from_numpy(image[:, *at])
            with torch.no_grad():
                output = network(square)[0, :, : len(rows), : len(columns)].double().numpy()
            total[:, *at] += output * np.outer(rows, columns)
            weight[at] += np.outer(rows, columns)
    return total / weight


@pytest.mark.parametrize("shape", [(150, 203), (64, 64), (65, 40), (23, 30), (20, 170)])
def test_a_network_of_one_size_gives_what_blended_squares_give_by_hand(shape: tuple[int, int]) -> None:
    network = transformer(size=64)
    predictor, info = of_one_size(network, 64)
    pixels, everything = picture(*shape), Window(0, 0, *shape)
    valid = np.ones(shape, np.bool_)
    found = network_output(predictor, info, pixels, valid, everything, everything)
    expected = by_hand(network, (pixels.astype(np.float64) - 100) / 50, 64)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    for window in (Window(0, 0, 9, 11), Window(shape[0] - 7, shape[1] - 5, 7, 5), Window(11, 13, 8, 16)):
        source = Window(
            max(0, window.row - info.halo), max(0, window.col - info.halo),
            min(shape[0], window.stop_row + info.halo) - max(0, window.row - info.halo),
            min(shape[1], window.stop_col + info.halo) - max(0, window.col - info.halo),
        )  # fmt: skip
        part = network_output(predictor, info, pixels[:, *source.roi], valid[source.roi], source, window, shape)
        assert np.array_equal(part, found[:, *window.roi])


def test_an_image_that_is_smaller_than_the_network_takes_is_filled_up() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 41, padding=20, padding_mode="reflect")).eval()
    predictor = TorchPredictor(network, "reflecting")
    found = measure_predictor(predictor, 3)
    assert (found.smallest, found.stride) == (32, 1)
    info = replace(info_of(CLASSES, found.radius), smallest=found.smallest)
    pixels, small = picture(20, 50), Window(0, 0, 20, 50)
    made = network_output(predictor, info, pixels, np.ones(small.shape, np.bool_), small, small)
    filled = np.zeros((1, 3, 32, 50), np.float32)
    filled[0, :, :20] = pixels
    assert np.array_equal(made, predictor(filled)[0, :, :20])
