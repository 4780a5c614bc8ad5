"""Networks by name, with random weights or those of a trained model; weights read from files and written as safetensors."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from swath.errors import MissingExtra, ModelError
from swath.models.exported_archive import read_weights
from swath.models.load import weights_sha256
from swath.models.predictor import cause
from swath.models.safety.first_load import FirstLoad, load_first
from swath.models.torch_files import read_checkpoint, without_prefix
from swath.models.unet import UNet
from swath.models.weights_cache import local_copy
from swath.module_code import CodeChanged, import_as
from swath.training.loop.network_check import FORWARD_ERRORS, check_lazy, run_network
from swath.training.loop.network_source import NO_SOURCE, NetworkSource
from swath.training.loop.torchvision_guard import import_torchvision

if TYPE_CHECKING:
    from swath.spec.fields.network import Network

MAX_LISTED = 6
"""At most so many mismatches are listed in a message."""
MAX_STRIDE = 64
_FACTORY_ERRORS = (*FORWARD_ERRORS, ArithmeticError, ImportError, NameError, OSError, SyntaxError)
"""What code of a network raises while it is imported or called."""


def build_network(
    network: Network, bands: int, classes: int, seed: int = 0, source: NetworkSource = NO_SOURCE
) -> nn.Module:
    """The network, from images (N, bands, H, W) to logits (N, classes, H, W), float32. Its weights are drawn from `seed`, then
    replaced by those of `network.weights` where that is given. With `source` these and the network's code must be those of its digests.

    Raises MissingExtra for a package that is not installed, and ModelError for a network or weights that do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _create(network, bands, classes, source.code)
    if not isinstance(module, nn.Module):
        raise ModelError(f"network {network.name}: gives {type(module).__name__}, not a torch.nn.Module")
    check_lazy(module, network.name)
    if network.weights is not None:
        source.check_weights(network.weights)
        load_weights(module, without_prefix(read_state_dict(network.weights), module), network.weights)
    return module


def stride_of(module: nn.Module, bands: int, name: str) -> int:
    """The smallest power of two of which height and width of images must be multiples. Raises ModelError when the network takes
    none up to 64, changes height and width, or gives no tensor."""
    declared = getattr(getattr(module, "encoder", None), "output_stride", None)
    # segmentation_models_pytorch takes other sizes too, and resamples its output.
    if isinstance(declared, int):
        return declared
    training = module.training
    module.eval()
    try:
        stride, why = 1, ""
        while stride <= MAX_STRIDE:
            size = 2 * MAX_STRIDE + stride
            try:
                with torch.no_grad():  # not inference_mode: what a network keeps of an image could not be trained
                    shape = run_network(module, name, torch.zeros(1, bands, size, size)).shape
            except FORWARD_ERRORS as error:
                why = cause(error)
            else:
                if shape[2:] == (size, size):
                    return stride
                why = f"images of {size} x {size} become {tuple(shape[2:])}"
            stride *= 2
    finally:
        module.train(training)
    raise ModelError(
        f"network {name}: takes no images of {2 * MAX_STRIDE} pixels and more with {bands} bands: {why}",
        remedy="Its output has to have the height and width of the images, for all sizes that are multiples of some number up to 64.",
    )


def _create(network: Network, bands: int, classes: int, code: str) -> Any:
    kind, _, name = network.name.partition(":")
    if not name:
        return UNet(bands, classes, network.width, network.depth)
    if kind in ("smp", "timm") and ":" in str(network.options.get("encoder_name", "")):
        raise ModelError(
            f"network {network.name}: encoder_name {network.options['encoder_name']!r} is the address of a model",
            remedy="name an encoder, and the file of initial weights as network.weights",
        )
    if kind == "smp":
        smp = _import_extra("segmentation_models_pytorch", f"network {network.name}")
        options = {"encoder_weights": None, **network.options}
        found = getattr(smp, name, None)  # functions there load models of others
        found = found if isinstance(found, type) and issubclass(found, nn.Module) else None
        return _call_factory(network.name, found, in_channels=bands, classes=classes, **options)
    if kind == "timm":
        smp = _import_extra("segmentation_models_pytorch", f"network {network.name}")
        _import_extra("timm", f"network {network.name}")
        options = {"encoder_weights": None, **network.options}
        return _call_factory(
            network.name, smp.Unet, encoder_name=f"tu-{name}", in_channels=bands, classes=classes, **options
        )
    try:
        factory = getattr(import_as(kind, code), name, None)
    except CodeChanged as error:
        raise ModelError(f"network {network.name}: {error}", remedy="start the run again") from error
    except ImportError as error:
        remedy = "the module has to be in the project's root or its folder of pipelines, or be installed"
        raise ModelError(f"network {network.name}: cannot import {kind}: {error}", remedy=remedy) from error
    except _FACTORY_ERRORS as error:
        raise ModelError(
            f"network {network.name}: {kind} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    return _call_factory(network.name, factory, bands=bands, classes=classes, **network.options)


def _import_extra(name: str, why: str) -> Any:
    import_torchvision()
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(name, "networks", why) from None


def _call_factory(name: str, factory: Any, **options: Any) -> Any:
    if not callable(factory):
        raise ModelError(
            f"network {name}: there is no such network", remedy="Check its name, capital letters included."
        )
    try:
        return factory(**options)
    except _FACTORY_ERRORS as error:
        arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ModelError(f"network {name}: cannot be created with {arguments}: {error}") from error


def read_state_dict(href: str) -> dict[str, Tensor]:
    """Tensors by name of a .safetensors file, a .pt2 archive, or a .ckpt (a state, or a checkpoint with a `state_dict`).

    Raises ModelError; runs no code of the file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = local_copy(href)
    try:
        if path.endswith(".safetensors"):
            return dict(load_file(path))
        if path.endswith(".pt2"):
            return read_weights(path)
        if path.endswith(".ckpt"):
            files, sha256 = (str(Path(path).absolute()),), weights_sha256(path)
            load_first(FirstLoad(path, "checkpoint", sha256, files, ("torch",), "swath.models.load:rehearse"))
            state = read_checkpoint(path)
            return {name.removeprefix("network."): tensor for name, tensor in state.items()}
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, KeyError, OSError, TypeError) as error:
        raise ModelError(f"{href}: its weights cannot be read: {error}") from error
    raise ModelError(f"{href}: not a format of initial weights", remedy="Give a .safetensors, .pt2 or .ckpt file.")


def load_weights(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load weights into a network. `where` is the file in messages. Raises ModelError, which lists what does not fit, and leaves
    the network unchanged."""
    own = module.state_dict()
    mismatches = [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(own[name].shape)} in the network"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    mismatches += [
        f"{name}: not in the file" for name in own if name not in state and not name.endswith("batches_tracked")
    ]
    mismatches += [f"{name}: not in the network" for name in state if name not in own]
    if mismatches:
        more = f"\n  and {len(mismatches) - MAX_LISTED} more" if len(mismatches) > MAX_LISTED else ""
        raise ModelError(
            f"{where}: the weights do not fit the network\n  " + "\n  ".join(mismatches[:MAX_LISTED]) + more,
            remedy="Give the network the width, depth, bands and classes with which the weights were trained.",
        )
    if broken := [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]:
        raise ModelError(
            f"{where}: weights that are not finite numbers: {', '.join(broken[:MAX_LISTED])}",
            remedy="Take the weights of an earlier epoch.",
        )
    module.load_state_dict(state, strict=False)


def encode_weights(network: nn.Module) -> bytes:
    """A network's weights as the bytes of a .safetensors file; deterministic. Weights that layers share are written for each."""
    from safetensors.torch import save

    seen: set[int] = set()
    state = {}
    for name, tensor in network.state_dict().items():
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage().data_ptr()
        state[name] = own.clone() if storage in seen else own
        seen.add(storage)
    return save(state)
