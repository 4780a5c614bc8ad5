"""What model files declare: an input or outputs that do not fit the contract are refused before anything runs, with the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.info import check_weights, inspect, weights_of
from swath.models.load import load_model
from swath.spec.fields.model import ModelRef
from tests.models.safety.crafted import script
from tests.models.tiny_models import export, tiny_contract

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FLOAT = onnx.TensorProto.FLOAT
HALF = onnx.TensorProto.FLOAT16


def contract(folder: Path, name: str = "y", bands: int = 1, channels: int = 1) -> None:
    document = tiny_contract("m", [f"b{n}" for n in range(bands)], channels, output="values")
    document["mlm:output"][0]["name"] = name
    (folder / "m.json").write_text(json.dumps(document), encoding="utf-8")


def write(
    folder: Path,
    shape: list[Any] | None = None,
    dtype: int = FLOAT,
    outputs: tuple[str, ...] = ("y",),
    inputs: tuple[str, ...] = ("x",),
) -> ModelRef:
    """A model that doubles its input for `y`, and changes its sign for every other output."""
    sides = [
        [onnx.helper.make_tensor_value_info(n, dtype, shape or ["n", 1, "h", "w"]) for n in names]
        for names in (inputs, outputs)
    ]
    nodes = [onnx.helper.make_node(*(("Add", ["x", "x"], [n]) if n == "y" else ("Neg", ["x"], [n]))) for n in outputs]
    graph = onnx.helper.make_graph(nodes, "g", *sides)
    imports = [onnx.helper.make_opsetid("", 17)]
    path = folder / "m.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString())
    return ModelRef(path=str(path))


@pytest.mark.parametrize(
    ("made", "message", "remedy"),
    [
        ({"shape": [1, 1, 224, 256]}, "takes images of 224 x 256 pixels only", "square images of one size"),
        ({"shape": ["n", 1, 224, "w"]}, "takes images of 224 x any width pixels only", "dynamic height and width"),
        ({"shape": [4, 1, "h", "w"]}, "takes batches of 4 images only (4 x 1 x any x any)", "with a dynamic batch"),
        (
            {"shape": ["n", 3, "h", "w"]},
            "takes 3 bands (any x 3 x any x any), but its contract names 1",
            "correct mlm:input.0.bands",
        ),
        ({"shape": ["n", "h", 1, 1]}, "takes images of 1 x 1 pixels only", "dynamic height"),
        ({"shape": ["n", 2, 1, "h", "w"]}, "takes any x 2 x 1 x any x any, 5 axes", "one image"),
        ({"dtype": onnx.TensorProto.BOOL}, "takes bool; swath gives float32 (or float16", "with a float32 input"),
        ({"inputs": ("x", "z")}, "takes 2 inputs (x, z)", "one tensor"),
        ({"outputs": ("out", "aux")}, "gives 2 outputs (out, aux), and its contract names 'y'", "mlm:output.0.name"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_it_runs(
    made: dict[str, Any], message: str, remedy: str, tmp_path: Path
) -> None:
    contract(tmp_path)
    ref = write(tmp_path, **made)
    for check in (weights_of, check_weights):
        with pytest.raises(ModelError) as caught:
            check(ref)
        assert caught.value.message.startswith(f"{ref.path}: the model {message}")
        assert remedy in caught.value.remedy


@pytest.mark.parametrize(("name", "expected"), [("y", 6), ("other", -3)])
def test_the_output_that_the_contract_names_is_used(name: str, expected: float, tmp_path: Path) -> None:
    contract(tmp_path, name)
    ref = write(tmp_path, outputs=("other", "y"))
    images = np.full((1, 1, 8, 8), 3, np.float32)
    assert np.unique(load_model(weights_of(ref))(images)).tolist() == [expected]
    assert np.unique(load_model(inspect(ref))(images)).tolist() == [expected]


class Named(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": images * 2, "aux": -images}


class Paired(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images * 2, -images


@pytest.mark.parametrize(
    ("network", "name", "expected"),
    [(Named(), "out", 6), (Named(), "aux", -3), (Paired(), "0", 6), (Paired(), "1", -3)],
)
def test_outputs_of_torch_are_used_by_key_or_position(
    network: nn.Module, name: str, expected: float, tmp_path: Path
) -> None:
    contract(tmp_path, name)
    export(network, 1, tmp_path / "m.pt2")
    script(tmp_path / "m.pt", network)
    images = np.full((1, 1, 8, 8), 3, np.float32)
    for file in ("m.pt2", "m.pt"):
        predictor = load_model(weights_of(ModelRef(path=str(tmp_path / file))))
        assert np.unique(predictor(images)).tolist() == [expected]


def test_outputs_that_the_contract_does_not_name_are_listed(tmp_path: Path) -> None:
    contract(tmp_path, "logits")
    export(Named(), 1, tmp_path / "m.pt2")
    script(tmp_path / "m.pt", Paired())
    with pytest.raises(
        ModelError, match=r"m\.pt2: the model gives 2 outputs \(out, aux\), and its contract names 'logits'"
    ):
        weights_of(ModelRef(path=str(tmp_path / "m.pt2")))
    with pytest.raises(ModelError, match=r"m\.pt: the model gives 2 outputs \(0, 1\), and its contract names 'logits'"):
        inspect(ModelRef(path=str(tmp_path / "m.pt")))


@pytest.mark.parametrize(("height", "size"), [(40, 40), (48, 0)])
def test_the_one_size_of_square_images_is_read_from_the_file(tmp_path: Path, height: int, size: int) -> None:
    contract(tmp_path)
    program = torch.export.export(nn.Conv2d(1, 1, 3, padding=1).eval(), (torch.zeros(1, 1, height, 40),))
    torch.export.save(program, tmp_path / "m.pt2")
    if not size:
        with pytest.raises(ModelError, match=r"m\.pt2: the model takes images of 48 x 40 pixels only"):
            weights_of(ModelRef(path=str(tmp_path / "m.pt2")))
        return
    assert weights_of(ModelRef(path=str(tmp_path / "m.pt2"))).size == size
    assert weights_of(write(tmp_path, [1, 1, size, size])).size == size
    assert weights_of(write(tmp_path)).size == 0


def test_pixels_are_given_in_the_type_that_the_file_declares(tmp_path: Path) -> None:
    contract(tmp_path)
    images = np.full((1, 1, 8, 8), 3, np.float32)
    half = nn.Conv2d(1, 1, 1).half().eval()
    nn.init.constant_(half.weight, 2)
    nn.init.zeros_(half.bias)  # type: ignore[arg-type]
    sizes = {2: torch.export.Dim("h", min=2), 3: torch.export.Dim("w", min=2)}
    program = torch.export.export(half, (torch.zeros(1, 1, 8, 8).half(),), dynamic_shapes=(sizes,))
    torch.export.save(program, tmp_path / "m.pt2")
    script(tmp_path / "m.pt", half)
    refs = [write(tmp_path, dtype=HALF), *(ModelRef(path=str(tmp_path / file)) for file in ("m.pt2", "m.pt"))]
    for ref in refs:
        predictor = load_model(weights_of(ref))
        result = predictor(images)
        assert (result.dtype, np.unique(result).tolist()) == (np.float32, [6])
        assert inspect(ref).exact
        with pytest.raises(ModelError, match="the model takes float16, which cannot hold 70000"):
            predictor(images * 0 + 70000)


class Classified(nn.Module):
    """Gives class numbers instead of channels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.argmax(1).to(torch.float32)


def test_another_number_of_channels_is_refused_before_it_runs(tmp_path: Path) -> None:
    contract(tmp_path, channels=2)
    with pytest.raises(ModelError, match=r"m\.onnx: the model gives 1 channels, but its contract says 2") as caught:
        weights_of(write(tmp_path))
    assert "for class numbers (argmax) write a type of whole numbers" in caught.value.remedy
    export(nn.Conv2d(1, 3, 1), 1, tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"m\.pt2: the model gives 3 channels, but its contract says 2"):
        weights_of(ModelRef(path=str(tmp_path / "m.pt2")))
    script(tmp_path / "m.pt", nn.Conv2d(1, 3, 1))
    with pytest.raises(ModelError, match=r"m\.pt: the model gives 3 channels, but its contract says 2"):
        inspect(ModelRef(path=str(tmp_path / "m.pt")))


@pytest.mark.parametrize("shape", [["n", "h", "w", 3], [1, 224, 224, 3]])
def test_bands_on_the_last_axis_are_told(shape: list[Any], tmp_path: Path) -> None:
    contract(tmp_path, bands=3)
    with pytest.raises(ModelError, match="its bands are the last axis, and its contract says") as caught:
        weights_of(write(tmp_path, shape))
    assert "write batch, height, width, channel as dim_order" in caught.value.remedy


def test_outputs_of_other_axes_are_refused_with_what_to_export(tmp_path: Path) -> None:
    contract(tmp_path, bands=3)
    for network, remedy in (
        (Classified(), "without its argmax"),
        (Last(), "write batch, height, width, channel as dim_order"),
        (nn.MaxPool2d(2), "its own upsampling"),
    ):
        script(tmp_path / "m.pt", network)
        with pytest.raises(ModelError, match=r"m\.pt: images of shape .* became") as caught:
            inspect(ModelRef(path=str(tmp_path / "m.pt")))
        assert remedy in caught.value.remedy


class Last(nn.Module):
    """Gives the channels last."""

    def forward(self, images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1)
