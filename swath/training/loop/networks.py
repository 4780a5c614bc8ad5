"""Networks by name, with random weights or with those of a trained model."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from swath.errors import MissingExtra, ModelError
from swath.models.torch_files import refuse_code
from swath.models.unet import UNet
from swath.models.weights_cache import local_copy
from swath.training.loop.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from swath.spec.fields.network import Network

MAX_LISTED = 6
"""So many names are told of weights that do not fit."""
LARGEST_STRIDE = 64


def build_network(network: Network, bands: int, classes: int, seed: int = 0) -> nn.Module:
    """The network, from images (N, bands, H, W) to logits (N, classes, H, W), float32. Its weights are drawn from `seed`, then
    replaced by those of `network.weights` where that is given.

    Raises MissingExtra for a package that is not installed, and ModelError for a network or weights that do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _made(network, bands, classes)
    if not isinstance(module, nn.Module):
        raise ModelError(f"network {network.name}: gives {type(module).__name__}, not a torch.nn.Module")
    if network.weights is not None:
        load_weights(module, read_state_dict(network.weights), network.weights)
    return module


def stride_of(module: nn.Module, bands: int) -> int:
    """The smallest power of two of which height and width of images must be multiples. Raises ModelError when the network takes
    none up to 64, or does not keep height and width."""
    declared = getattr(getattr(module, "encoder", None), "output_stride", None)
    if isinstance(
        declared, int
    ):  # of segmentation_models_pytorch, which takes other sizes too, and resamples what it makes of them
        return declared
    training = module.training
    module.eval()
    try:
        stride, why = 1, ""
        while stride <= LARGEST_STRIDE:
            size = 2 * LARGEST_STRIDE + stride
            try:
                with torch.inference_mode():
                    shape = module(torch.zeros(1, bands, size, size)).shape
            except (RuntimeError, ValueError, AssertionError) as error:
                why = str(error).strip().partition("\n")[0]
            else:
                if shape[2:] == (size, size):
                    return stride
                why = f"images of {size} x {size} become {tuple(shape[2:])}"
            stride *= 2
    finally:
        module.train(training)
    raise ModelError(f"the network takes no images of {2 * LARGEST_STRIDE} pixels and more: {why}")


def _made(network: Network, bands: int, classes: int) -> Any:
    kind, _, name = network.name.partition(":")
    if not name:
        return UNet(bands, classes, network.width, network.depth)
    if kind == "smp":
        smp = _package("segmentation_models_pytorch", f"network {network.name}")
        options = {"encoder_weights": None, **network.options}
        return _called(network.name, getattr(smp, name, None), in_channels=bands, classes=classes, **options)
    if kind == "timm":
        smp = _package("segmentation_models_pytorch", f"network {network.name}")
        _package("timm", f"network {network.name}")
        options = {"encoder_weights": None, **network.options}
        return _called(network.name, smp.Unet, encoder_name=f"tu-{name}", in_channels=bands, classes=classes, **options)
    try:
        factory = getattr(importlib.import_module(kind), name, None)
    except ImportError as error:
        remedy = "the module has to be installed, or its folder has to be in PYTHONPATH"
        raise ModelError(f"network {network.name}: cannot import {kind}: {error}", remedy=remedy) from error
    return _called(network.name, factory, bands=bands, classes=classes, **network.options)


def _package(name: str, why: str) -> Any:
    import_torchvision()
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(name, "networks", why) from None


def _called(name: str, factory: Any, **options: Any) -> Any:
    if not callable(factory):
        raise ModelError(
            f"network {name}: there is no such network", remedy="Check its name, capital letters included."
        )
    try:
        return factory(**options)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        told = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ModelError(f"network {name}: cannot be made with {told}: {error}") from error


def read_state_dict(href: str) -> dict[str, Tensor]:
    """Tensors by name of a .safetensors file, a .pt2 archive, or a .ckpt of a training. Raises ModelError; runs no code of the
    file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = local_copy(href)
    try:
        if path.endswith(".safetensors"):
            return dict(load_file(path))
        if path.endswith(".pt2"):
            refuse_code(path)
            return dict(torch.export.load(path).state_dict)
        if path.endswith(".ckpt"):
            state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
            return {name.removeprefix("network."): tensor for name, tensor in state.items()}
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
        raise ModelError(f"{href}: its weights cannot be read: {error}") from error
    raise ModelError(f"{href}: not a form of weights to begin with", remedy="Give a .safetensors, .pt2 or .ckpt file.")


def load_weights(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Give a network these weights. Raises ModelError, which names what does not fit, and leaves the network as it was."""
    own = module.state_dict()
    wrong = [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the network"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    wrong += [f"{name}: not in the file" for name in own if name not in state and not name.endswith("batches_tracked")]
    wrong += [f"{name}: not in the network" for name in state if name not in own]
    if wrong:
        more = f"\n  and {len(wrong) - MAX_LISTED} more" if len(wrong) > MAX_LISTED else ""
        raise ModelError(
            f"{where}: the weights do not fit the network\n  " + "\n  ".join(wrong[:MAX_LISTED]) + more,
            remedy="Give the network the width, depth, bands and classes with which the weights were trained.",
        )
    module.load_state_dict(state, strict=False)


def encode_weights(network: nn.Module) -> bytes:
    """A network's weights as .safetensors: the same bytes for the same weights."""
    from safetensors.torch import save

    return save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
