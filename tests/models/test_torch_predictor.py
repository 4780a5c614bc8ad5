"""Networks that torch runs: shapes that are refused, memory order, threads, the GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from swath.errors import ModelError
from swath.models.torch_predictor import TorchPredictor
from swath.models.unet import UNet


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_nearly_what_the_cpu_gives() -> None:
    torch.manual_seed(1)
    network = UNet(3, 2).eval()
    image = np.random.default_rng(0).standard_normal((2, 3, 64, 64), dtype=np.float32)
    expected = TorchPredictor(network, "unet")(image)
    predictor = TorchPredictor(network, "unet", device="cuda")
    np.testing.assert_allclose(predictor(image), expected, atol=1e-3)
    assert 0 < predictor.usage.share <= 1


def test_a_model_that_changes_height_and_width_is_refused() -> None:
    predictor = TorchPredictor(nn.MaxPool2d(2), "half.pt2")
    with pytest.raises(ModelError, match=r"half\.pt2: images of shape \(1, 3, 8, 8\) became \(1, 3, 4, 4\)"):
        predictor(np.zeros((1, 3, 8, 8), np.float32))


def test_images_whose_memory_is_pixel_by_pixel_are_not_copied_and_no_order_changes_the_result() -> None:
    seen: list[int] = []

    class Pointed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.data_ptr())
            return images * 2

    predictor = TorchPredictor(Pointed(), "m.pt2")
    pixels = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 4, 5, 3)
    images = pixels.transpose(0, 3, 1, 2)
    given = predictor(images)
    assert seen == [pixels.ctypes.data]
    assert given.strides == images.strides
    for same in (
        np.ascontiguousarray(images),
        np.ascontiguousarray(images[..., ::-1])[..., ::-1],
    ):
        np.testing.assert_array_equal(predictor(same), images * 2)
    assert pixels.ctypes.data not in seen[1:]
