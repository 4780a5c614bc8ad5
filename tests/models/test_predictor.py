"""Causes of failures in networks, from the messages of torch and onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.predictor import cause
from swath.models.receptive import measure_predictor, output_channels
from swath.models.torch_predictor import TorchPredictor


class Positions(nn.Module):
    """Fixed position embeddings for 224 x 224."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(1, 1, 224, 224))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.positions


def test_the_last_line_of_torchscripts_traceback_is_the_cause() -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(Positions().eval())  # type: ignore[no-untyped-call]
    with pytest.raises(ModelError) as caught:
        TorchPredictor(scripted, "vit.pt")(np.zeros((1, 1, 256, 256), np.float32))
    assert caught.value.message == (
        "vit.pt: the model refuses images of 1 x 1 x 256 x 256 (N, bands, height, width): RuntimeError: The size of tensor a (256) "
        "must match the size of tensor b (224) at non-singleton dimension 3"
    )


def test_onnxruntimes_messages_lose_places_in_its_source_and_keep_the_cause() -> None:
    message = (
        "[ONNXRuntimeError] : 1 : FAIL : Load model from /x/m.onnx failed:/onnxruntime_src/onnxruntime/core/graph/load.h:46 void "
        "onnxruntime::model::Check(const std::unordered_map<std::string, int>&, bool) Opset 99 is under development."
    )
    assert cause(RuntimeError(message)) == "Opset 99 is under development."
    sizes = "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions\n index: 2 Got: 256 Expected: 224\n"
    assert cause(RuntimeError(sizes)) == "Got invalid dimensions index: 2 Got: 256 Expected: 224"


def test_a_network_of_one_size_is_told_from_one_that_takes_no_image() -> None:
    assert measure_predictor(TorchPredictor(Positions(), "vit.pt"), 1).size == 224
    assert output_channels(TorchPredictor(Positions(), "vit.pt"), 1, 224) == 1
    for measure in (measure_predictor, output_channels):
        with pytest.raises(
            ModelError, match=r"expected input.* to have 3 channels, but got 1 channels instead"
        ) as caught:
            measure(TorchPredictor(nn.Conv2d(3, 2, 1), "rgb.pt"), 1)
        assert "as many bands as its contract names" in caught.value.remedy


def test_what_is_no_tensor_ends_the_search_at_once() -> None:
    class Words(nn.Module):
        def forward(self, images: Tensor) -> str:
            return "mask"

    with pytest.raises(ModelError, match=r"words: the model gives str, not a tensor"):
        measure_predictor(TorchPredictor(Words(), "words"), 1)


def test_details_of_a_cast_are_left_out() -> None:
    message = "Expected a value of type 'float' for argument 'eps'. Cast error details: Unable to cast instance of type <class 'list'>"
    assert cause(RuntimeError(message)) == "Expected a value of type 'float' for argument 'eps'."
