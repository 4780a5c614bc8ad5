"""OpenVINO: what the compiled networks of several sizes keep in memory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from numpy.typing import NDArray

from swath.models.openvino_predictor import OpenVinoPredictor

pytest.importorskip("openvino")

CHANNELS = 48
SIZES = (512, 520, 528, 536)


def write_network(path: Path) -> None:
    """Two wide layers of random weights: 1 x 1 convolutions, so that memory and not time is what it takes."""
    rng = np.random.default_rng(5)
    widths = (4, CHANNELS, CHANNELS, 2)
    weights = [
        onnx.numpy_helper.from_array(rng.normal(size=(given, taken, 1, 1)).astype(np.float32), f"w{number}")
        for number, (taken, given) in enumerate(pairwise(widths))
    ]
    names = ("image", "a", "b", "result")
    nodes = [onnx.helper.make_node("Conv", [names[n], f"w{n}"], [names[n + 1]]) for n in range(3)]
    sides = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", width, "height", "width"])]
        for name, width in (("image", 4), ("result", 2))
    ]
    graph = onnx.helper.make_graph(nodes, "wide", *sides, weights)
    imports = [onnx.helper.make_opsetid("", 17)]
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())


def image(size: int) -> NDArray[np.float32]:
    return np.random.default_rng(size).random((1, 4, size, size), np.float32)


def test_sizes_in_turn_take_the_memory_of_one_and_give_the_same_bits(tmp_path: Path) -> None:
    write_network(tmp_path / "wide.onnx")
    network = OpenVinoPredictor.open(str(tmp_path / "wide.onnx"))
    network(image(64))
    process = psutil.Process()
    before = process.memory_info().rss
    first = {SIZES[0]: network(image(SIZES[0]))}
    one = process.memory_info().rss - before
    for size in SIZES[1:]:
        first[size] = network(image(size))
    assert process.memory_info().rss - before < 2 * one
    for size in reversed(SIZES):
        assert np.array_equal(network(image(size)), first[size])
