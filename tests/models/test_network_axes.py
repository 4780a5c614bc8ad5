"""Networks with other axes and other numbers give the map of the plain network: channels last, bytes, class numbers, single values."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.errors import ModelError
from swath.geo import Window
from swath.models.infer import infer
from swath.models.info import inspect
from swath.models.load import load_model
from swath.models.network_axes import NetworkAxes
from swath.models.probabilities import probability_bands
from swath.spec.fields.model import ModelRef
from swath.spec.fields.output import Probabilities
from tests.models.fixed_models import transformer
from tests.models.tiny_models import tiny_contract

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

BANDS = ("red", "green", "blue")
LAST = ["batch", "height", "width", "channel"]
NONE = ["batch", "height", "width"]


class Plain(nn.Module):
    """Logits of three classes from 3 x 3 pixels, in whole numbers: exact in every order of the sums."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        weights = np.random.default_rng(3).integers(-3, 4, self.conv.weight.shape).astype(np.float32)
        with torch.no_grad():
            self.conv.weight.copy_(torch.from_numpy(weights))
            self.conv.bias.copy_(torch.arange(channels) * 9.0)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images)
        return result


class ChannelsLast(Plain):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return result


class Bytes(Plain):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images.to(torch.float32))
        return result


class Numbers(Plain):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images).argmax(1)
        return result


class ByteNumbers(Plain):
    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images).argmax(1, keepdim=True).to(torch.uint8)
        return result


class Single(Plain):
    """The value of one channel, without an axis for it."""

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.conv(images)[:, 0]
        return result


def described(**changed: Any) -> dict[str, Any]:
    """The contract with fields of the arrays changed: `input_` and `result_` before their names."""
    document = tiny_contract("m", BANDS, 3)
    for key, value in changed.items():
        kind, _, field = key.partition("_")
        array = document["mlm:input"][0]["input"] if kind == "input" else document["mlm:output"][0]["result"]
        array[field] = value
    return document


KINDS: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "plain": (Plain(), {}),
    "last": (
        ChannelsLast(),
        {"input_dim_order": LAST, "input_shape": [-1, -1, -1, 3], "result_dim_order": LAST, "result_shape": [-1, -1, -1, 3]},
    ),
    "bytes": (Bytes(), {"input_data_type": "uint8"}),
    "numbers": (Numbers(), {"result_dim_order": NONE, "result_shape": [-1, -1, -1], "result_data_type": "int64"}),
    "byte-numbers": (ByteNumbers(), {"result_shape": [-1, 1, -1, -1], "result_data_type": "uint8"}),
}  # fmt: skip


def made(kind: str, path: Path, size: int = 0) -> ModelRef:
    """The network of a kind as a file with its contract; for images of one size only where one is given."""
    network, fields = KINDS[kind]
    side = size or 24
    shape = (1, side, side, 3) if kind == "last" else (1, 3, side, side)
    example = torch.zeros(shape, dtype=torch.uint8 if kind == "bytes" else torch.float32)
    rows, columns = (torch.export.Dim(name, min=4) for name in ("rows", "columns"))
    first = 1 if kind == "last" else 2
    dynamic = None if size else ({first: rows, first + 1: columns},)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(network.eval(), (example,), dynamic_shapes=dynamic)
        match path.suffix:
            case ".pt2":
                torch.export.save(program, path)
            case ".onnx":
                torch.onnx.export(program, dynamo=True, verbose=False, external_data=False, f=str(path))
            case ".torchscript":
                torch.jit.save(torch.jit.script(network.eval()), str(path))
    path.with_suffix(".json").write_text(json.dumps(described(**fields)))
    return ModelRef(path=str(path))


def mapped(ref: ModelRef, pixels: NDArray[np.uint8], valid: NDArray[np.bool_]) -> NDArray[Any]:
    info = inspect(ref)
    everything = Window(0, 0, *valid.shape)
    return infer(load_model(info), info, pixels, valid, everything, everything)[0]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[Any]]:
    """A picture with a hole, and its classes as torch itself gives them."""
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (3, 61, 45)).astype(np.uint8)
    valid = np.ones((61, 45), np.bool_)
    valid[10:20, 5:9] = False
    with torch.no_grad():
        classes = Plain()(torch.from_numpy((pixels * valid).astype(np.float32))[None]).argmax(1).numpy()
    return pixels, valid, np.where(valid, classes, 255)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx", ".torchscript"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_other_axes_and_numbers_gives_the_same_classes(
    kind: str,
    suffix: str,
    tmp_path: Path,
    expected: tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[Any]],
) -> None:
    pixels, valid, classes = expected
    ref = made(kind, tmp_path / f"m{suffix}")
    info = inspect(ref)
    votes = "numbers" in kind
    assert (info.exact, info.radius if info.exact else 1, info.size) == (not votes, 1, 0)
    assert ("class numbers" in info.reason) == votes
    assert np.array_equal(mapped(ref, pixels, valid), classes)


@pytest.mark.parametrize("kind", ["last", "bytes", "numbers"])
def test_so_does_one_that_takes_images_of_one_size(kind: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 32, 32)).astype(np.uint8)
    valid = np.ones((32, 32), np.bool_)
    with torch.no_grad():
        classes = Plain()(torch.from_numpy(pixels.astype(np.float32))[None]).argmax(1).numpy()
    for suffix in (".pt2", ".onnx"):
        ref = made(kind, tmp_path / f"m{suffix}", size=32)
        assert inspect(ref).size == 32
        assert np.array_equal(mapped(ref, pixels, valid), classes)


def test_a_value_without_an_axis_for_channels_is_one_band(tmp_path: Path) -> None:
    program = torch.export.export(
        Single(1).eval(),
        (torch.zeros(1, 3, 24, 24),),
        dynamic_shapes=({2: torch.export.Dim("rows", min=4), 3: torch.export.Dim("columns", min=4)},),
    )
    torch.export.save(program, tmp_path / "m.pt2")
    document = described(result_dim_order=NONE, result_shape=[-1, -1, -1]) | {"swath:output": "values"}
    del document["mlm:output"][0]["classification:classes"]
    (tmp_path / "m.json").write_text(json.dumps(document))
    pixels, valid = np.arange(3 * 40 * 30).reshape(3, 40, 30).astype(np.float32), np.ones((40, 30), np.bool_)
    found = mapped(ModelRef(path=str(tmp_path / "m.pt2")), pixels, valid)
    with torch.no_grad():
        values = Plain(1)(torch.from_numpy(pixels)[None])[0].numpy()
    assert np.array_equal(found, values)


def test_class_numbers_of_overlapping_tiles_vote() -> None:
    axes = NetworkAxes(channels="none", numbers=(4, 7, 9), nodata=255)
    votes = axes.arranged(np.array([[[4, 9], [255, 7]]], np.float32), "m")
    assert votes.shape == (1, 3, 2, 2)
    assert votes[0, :, 0, 0].tolist() == [1, 0, 0]
    assert votes[0, :, 0, 1].tolist() == [0, 0, 1]
    assert votes[0, :, 1, 1].tolist() == [0, 1, 0]
    assert np.isnan(votes[0, :, 1, 0]).all()
    with pytest.raises(ModelError, match="gives class number 5, but its contract's classes have the values 4, 7, 9"):
        axes.arranged(np.array([[[4, 5]]], np.float32), "m")


def test_numbers_that_no_class_has_are_told_when_the_network_is_measured(tmp_path: Path) -> None:
    ref = made("numbers", tmp_path / "m.pt2")
    document = json.loads((tmp_path / "m.json").read_text())
    for entry in document["mlm:output"][0]["classification:classes"]:
        entry["value"] += 1
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="gives class number 0, but its contract's classes have the values 1, 2, 3"):
        inspect(ref)


def test_class_numbers_have_no_probabilities(tmp_path: Path) -> None:
    contract = inspect(made("numbers", tmp_path / "m.pt2")).contract
    with pytest.raises(ModelError, match="class numbers has no probabilities"):
        probability_bands(contract, Probabilities())


def test_pixels_that_a_byte_cannot_hold_are_an_error(tmp_path: Path) -> None:
    ref = made("bytes", tmp_path / "m.onnx")
    pixels, valid = np.full((3, 30, 30), 256, np.uint16), np.ones((30, 30), np.bool_)
    with pytest.raises(ModelError, match="takes uint8, which cannot hold 256"):
        mapped(ref, pixels, valid)  # type: ignore[arg-type]


def test_a_transformer_that_ends_in_argmax_votes_where_tiles_overlap(tmp_path: Path) -> None:
    network, size = transformer(3, 3, 32), 32

    class Ending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            result: Tensor = self.network(images).argmax(1)
            return result

    torch.export.save(torch.export.export(Ending().eval(), (torch.zeros(1, 3, size, size),)), tmp_path / "m.pt2")
    fields = {"result_dim_order": NONE, "result_shape": [-1, size, size], "result_data_type": "int64"}
    (tmp_path / "m.json").write_text(json.dumps(described(**fields)))
    pixels = np.random.default_rng(8).integers(0, 3, (3, 32, 52)).astype(np.uint8)
    found = mapped(ModelRef(path=str(tmp_path / "m.pt2")), pixels, np.ones((32, 52), np.bool_))[0]
    squares = []
    for left in (0, 20):
        square = torch.from_numpy(pixels[:, :, left : left + size].astype(np.float32))[None]
        with torch.no_grad():
            squares.append(network(square).argmax(1)[0].numpy())
    # Of each tile the outer 4 columns are left out; in the 12 or fewer that both have, the nearer middle has the vote.
    west, east = squares
    assert np.array_equal(found[:, :24], west[:, :24])
    assert np.array_equal(found[:, 28:], east[:, 8:])
    middle = np.arange(24, 28)
    weight_west, weight_east = (np.sin(np.pi * (middle - start - 4 + 0.5) / 24) ** 2 for start in (0, 20))
    votes = np.zeros((3, 32, 4))
    for number in range(3):
        votes[number] = (west[:, 24:28] == number) * weight_west + (east[:, 4:8] == number) * weight_east
    assert np.array_equal(found[:, 24:28], votes.argmax(0))
