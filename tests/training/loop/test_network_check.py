"""Networks whose training would give no model are refused before it, with the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from swath.errors import ModelError
from swath.models.unet import UNet
from swath.spec.fields.network import Network
from swath.training.loop.export import check_export
from swath.training.loop.network_check import check_network
from swath.training.loop.networks import build_network, encode_weights, load_weights, stride_of


class Net(nn.Module):
    """A convolution, then `after`."""

    def __init__(
        self, bands: int = 3, channels: int = 2, after: Callable[[Tensor], Any] = lambda logits: logits
    ) -> None:
        super().__init__()
        self.layer = nn.Conv2d(bands, channels, 3, padding=1)
        self.after = after

    def forward(self, images: Tensor) -> Any:
        return self.after(self.layer(images))


def frozen() -> Net:
    net = Net()
    net.requires_grad_(False)
    return net


def broken() -> Net:
    net = Net()
    nn.init.constant_(net.layer.weight, float("nan"))
    return net


def fails(logits: Tensor) -> Tensor:
    raise KeyError("layer4")


@pytest.mark.parametrize(
    ("make", "message", "remedy"),
    [
        (lambda: Net(after=lambda x: {"out": x, "aux": x}), "gives dict with out, aux, not a tensor", "['out']"),
        (lambda: Net(after=lambda x: (x, x)), "gives tuple, not a tensor", "one tensor of logits"),
        (lambda: Net(after=lambda x: x.argmax(1)), r"gives a tensor of shape \(1, 129, 129\)", "one tensor of logits"),
        (lambda: Net(after=lambda x: x[..., ::2, ::2]), r"images of 192 x 192 become \(96, 96\)", "height and width"),
        (lambda: Net(bands=4), r"takes no images of 128 pixels and more with 3 bands: .*4 channels", "height and width"),
        (lambda: Net(after=fails), "takes no images.*layer4", "height and width"),
        (lambda: Net(after=lambda x: x.absent), "takes no images.*absent", "height and width"),
        (lambda: Net(channels=1), "gives 1 channels, there are 2 classes", "Two classes need two channels"),
        (lambda: Net(channels=5), "gives 5 channels, there are 2 classes", "number as classes"),
        (lambda: Net(after=lambda x: x.argmax(1, keepdim=True).repeat(1, 2, 1, 1)), "gives torch.int64", "logits"),
        (lambda: Net(after=lambda x: x.detach()), "its output has no gradient", "no_grad"),
        (lambda: Net(after=lambda x: x.softmax(1)), "gives probabilities that add up to 1, not logits", "last softmax"),
        (lambda: Net(after=lambda x: x.sigmoid()), "gives probabilities, not logits", "last sigmoid"),
        (frozen, "no parameters that are trained", "requires_grad"),
        (broken, "values that are not finite, before any training", "network.weights"),
    ],
)  # fmt: skip
def test_a_network_that_gives_no_logits_is_refused(make: Callable[[], Net], message: str, remedy: str) -> None:
    network = make()

    def check() -> None:
        stride_of(network, 3, "net:make")
        check_network(network, "net:make", 3, 2)

    with pytest.raises(ModelError, match=f"network net:make: (?s:.*){message}") as caught:
        check()
    assert remedy in caught.value.remedy
    assert network.training


@pytest.mark.parametrize(
    "make",
    [
        lambda: UNet(3, 2, 4, 2),
        lambda: Net(after=lambda x: x.log_softmax(1)),
        lambda: Net(after=lambda x: x.relu()),
        lambda: Net(after=lambda x: x * 0 + 0.5),
    ],
)
def test_logits_of_many_kinds_are_taken_and_nothing_of_the_network_is_changed(make: Callable[[], nn.Module]) -> None:
    network = make()
    before = encode_weights(network)
    assert stride_of(network, 3, "net:make") in (1, 4)
    check_network(network, "net:make", 3, 2)
    assert encode_weights(network) == before
    assert network.training


def module_of(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    module = ModuleType("own_networks")
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, "own_networks", module)


def lazy(bands: int, classes: int) -> nn.Module:
    return nn.LazyConv2d(classes, 1)


def absent_package(bands: int, classes: int) -> nn.Module:
    raise ModuleNotFoundError("No module named 'einops'")


def wrong_name(bands: int, classes: int) -> nn.Module:
    raise NameError("name 'nn' is not defined")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lazy, r"own_networks:make: has layers whose sizes are not known \(Lazy"),
        (absent_package, "own_networks:make: cannot be created with .*einops"),
        (wrong_name, "own_networks:make: cannot be created with .*'nn' is not defined"),
        (Net, "own_networks:make: cannot be created with .*classes"),
        (None, "there is no such network"),
    ],
)
def test_a_factory_that_fails_is_an_error_with_its_name(
    factory: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_of(monkeypatch, make=factory)
    with pytest.raises(ModelError, match=message):
        build_network(Network(name="own_networks:make"), 3, 2)


def test_a_module_that_cannot_be_imported_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_network.py").write_text("def make(:\n")
    (tmp_path / "wrong_network.py").write_text("missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, kind in (("broken_network", "SyntaxError"), ("wrong_network", "NameError")):
        with pytest.raises(ModelError, match=f"{name} cannot be imported: {kind}"):
            build_network(Network(name=f"{name}:make"), 3, 2)


def test_a_network_of_the_project_that_cannot_be_exported_is_refused_before_its_training() -> None:
    def on_values(logits: Tensor) -> Tensor:
        return logits * 2 if float(logits.sum()) > 0 else logits

    network = Net(after=on_values)
    with pytest.raises(ModelError, match=r"network net:make: torch.export cannot export it"):
        check_export(network, Network(name="net:make"), 3, 1)
    assert network.training
    check_export(Net(), Network(name="net:make"), 3, 1)


def test_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path) -> None:
    state = build_network(Network(), 3, 2).state_dict()
    name = next(iter(state))
    state[name] = torch.full_like(state[name], float("nan"))
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=f"a.safetensors: weights that are not finite numbers: {name}"):
        build_network(Network(weights=str(tmp_path / "a.safetensors")), 3, 2)


def test_weights_that_layers_share_are_written_and_read() -> None:
    def tied() -> nn.Module:
        first, second = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        second.weight = first.weight
        return nn.Sequential(first, second)

    network, other = tied(), tied()
    load_weights(other, load(encode_weights(network)), "a")
    assert torch.equal(other[1].weight, network[0].weight)  # type: ignore[index]
