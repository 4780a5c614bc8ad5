"""Receptive radius and stride as measured, against networks where they are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.contract import ReceptiveField, Weights
from swath.models.info import inspect, measure_weights
from swath.models.load import weights_sha256
from swath.models.predictor import Predictor
from swath.models.receptive import FALLBACK_HALO, gives_probabilities, measure_predictor
from swath.models.torch_predictor import TorchPredictor
from swath.models.unet import UNet
from swath.spec.fields.model import ModelRef
from tests.models.cloud_contracts import ENDINGS, write_cloud_contract
from tests.models.fixed_models import transformer
from tests.models.tiny_models import Identity, export


def measured(network: nn.Module, bands: int = 2) -> ReceptiveField:
    torch.manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
    return measure_predictor(TorchPredictor(network.eval(), "network"), bands)


def reach_by_gradient(network: nn.Module, stride: int, side: int) -> int:
    """The radius another way: the input pixels that one output pixel's gradient reaches, for every place of the lattice."""
    network = network.eval()
    reach = 0
    start = side // 2 // stride * stride
    for row in range(start, start + stride):
        # Where ReLU is shut in one random image, it is open in another.
        images = torch.randn(8, 2, side, side, requires_grad=True)
        network(images)[:, :, row, row].sum().backward()
        assert images.grad is not None
        felt = images.grad.abs().sum(dim=(0, 1)) > 0
        rows = torch.nonzero(felt.any(1)).flatten()
        reach = max(reach, row - int(rows[0]), int(rows[-1]) - row)
    return reach


class Upsampled(nn.Module):
    """Half the size and back by a factor: a stride of 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(self.conv(x), scale_factor=2, mode="nearest")


class Thirds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(nn.functional.avg_pool2d(x, 3), scale_factor=3)


class Normalised(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=(2, 3), keepdim=True)


class Squeezed(nn.Module):
    """Each pixel plus the mean of the image."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = x + self.pool(x)
        return seen


class Ramp(nn.Module):
    """Adds the distance from the upper edge."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.arange(x.shape[2], dtype=x.dtype)[:, None]


class Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (224, 224):
            raise RuntimeError("expected 224 x 224")
        return x


class Labels(nn.Module):
    """Whole numbers, through which NaN does not pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv(torch.nan_to_num(x))
        return scores.argmax(1, keepdim=True)


@pytest.mark.parametrize(
    ("network", "radius", "stride"),
    [
        (Identity(), 0, 1),
        (nn.Conv2d(2, 2, 3, padding=1), 1, 1),
        (nn.Conv2d(2, 2, 3, padding=9, dilation=9), 9, 1),
        (nn.Conv2d(2, 2, (3, 9), padding=(1, 4)), 4, 1),
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)), 2, 1),
        (nn.Conv2d(2, 2, 3, padding=150, dilation=150), 150, 1),
        (Upsampled(), 2, 2),
        (Thirds(), 2, 3),
        (Labels(), 2, 1),
    ],
    ids=["identity", "conv", "dilated", "oblong", "two", "distant", "upsampled", "thirds", "labels"],
)
def test_radius_and_stride_are_those_of_the_network(network: nn.Module, radius: int, stride: int) -> None:
    found = measured(network)
    assert (found.radius, found.stride, found.exact) == (radius, stride, True)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_unets_radius_is_that_of_its_gradients(depth: int) -> None:
    network = UNet(2, 2, width=4, depth=depth)
    found = measured(network)
    assert (found.stride, found.exact) == (2**depth, True)
    assert found.radius == reach_by_gradient(network, 2**depth, 64)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Normalised(), "depends on all others"),
        (nn.InstanceNorm2d(2), "depends on all others, or on very distant ones (instance norm)"),
        (nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4)), "(group norm)"),
        (Squeezed(), "(pooling over the whole image)"),
        (Ramp(), "where in the image a pixel is"),
    ],
)
def test_a_model_without_a_bound_is_not_exact_and_says_why(network: nn.Module, reason: str) -> None:
    found = measured(network)
    assert not found.exact
    assert found.radius == FALLBACK_HALO
    assert reason in found.reason


@pytest.mark.parametrize(
    ("part", "name"),
    [(nn.GroupNorm(2, 4), "(group norm)"), (nn.InstanceNorm2d(4), "(instance norm)")],
    ids=["group", "instance"],
)
def test_exported_networks_name_what_looks_at_the_whole_image(part: nn.Module, name: str, tmp_path: Path) -> None:
    path = str(export(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), part), 2, tmp_path / "network.pt2"))
    found = measure_weights(Weights(path, "pt2", weights_sha256(path), None, 2))
    assert not found.exact
    assert name in found.reason


def test_dropout_left_on_is_found() -> None:
    with pytest.raises(
        ModelError, match=r"drop\.pt2: the same image gives different results: dropout is active"
    ) as caught:
        measure_predictor(TorchPredictor(nn.Dropout().train(), "drop.pt2"), 2)
    assert "call .eval() on the network before you export it" in caught.value.remedy


def test_dependence_on_the_batch_is_found() -> None:
    def predictor(
        images: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        return np.asarray(images - images.mean(axis=0, keepdims=True), np.float32)

    found = measure_predictor(predictor, 2)
    assert (found.exact, "batch" in found.reason) == (False, True)


def test_the_size_of_a_model_that_takes_one_only_is_found() -> None:
    found = measured(Fixed())
    assert (found.size, found.smallest, found.stride, found.exact) == (224, 224, 1, False)
    assert found.reason.startswith("the model takes images of 224 x 224 pixels only")
    odd = TorchPredictor(transformer(2, size=72), "network")
    with pytest.raises(ModelError, match="nor other sizes that were tried"):
        measure_predictor(odd, 2)
    assert measure_predictor(odd, 2, likely=72).size == measure_predictor(odd, 2, size=72).size == 72


def test_nan_lost_on_the_way_does_not_hide_what_is_reached() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)).eval()
    torch_predictor: Predictor = TorchPredictor(network, "network")

    def predictor(
        images: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        return torch_predictor(np.nan_to_num(images))

    assert measure_predictor(predictor, 2) == measure_predictor(torch_predictor, 2)


def test_every_form_of_the_cloud_model_measures_the_same(shared: Path, tmp_path: Path) -> None:
    contract = write_cloud_contract(tmp_path / "c.json", "clouds_rgbi")
    for fmt in ("pt2", "onnx", "torchscript"):
        info = inspect(ModelRef(path=str(shared / f"data/models/clouds_rgbi{ENDINGS[fmt]}"), contract=str(contract)))
        assert (info.format, info.stride, info.radius, info.exact) == (fmt, 4, 23, True)
        # The exported program was made for 32 pixels and more; a strip at the image's edge must not be smaller.
        assert (info.smallest, info.halo) == ((32, 32) if fmt == "pt2" else (4, 23))


@pytest.mark.parametrize(
    ("ending", "expected"),
    [(nn.Softmax(dim=1), True), (nn.Sigmoid(), True), (nn.Identity(), False), (nn.LogSoftmax(dim=1), False), (nn.ReLU(), False),
     (nn.Tanh(), False), (nn.Threshold(1e9, 0.5), False)],
)  # fmt: skip
def test_networks_that_end_in_softmax_or_sigmoid_are_known(ending: nn.Module, expected: bool) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), ending).eval()
    predictor = TorchPredictor(network, "network")
    assert gives_probabilities(predictor, 2, measure_predictor(predictor, 2)) is expected
