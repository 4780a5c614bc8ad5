"""Export of a trained network as .pt2, .safetensors and ONNX; each file is loaded again and its output compared."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from swath.errors import MissingExtra, ModelError
from swath.models.contract import Format, Weights
from swath.models.load import load_model, weights_sha256
from swath.spec.fields.network import Network
from swath.training.loop.network_check import evaluated
from swath.training.loop.network_source import NO_SOURCE, NetworkSource
from swath.training.loop.networks import build_network, load_weights, stride_of

TOLERANCE = 1e-3
"""Largest difference between the logits of a file and of the network, relative to the largest logit."""


@dataclass(frozen=True)
class ExportedNetwork:
    """Facts about a network that was written to files."""

    parameters: int
    stride: int
    """Height and width of images have to be multiples of it."""
    sha256: str
    """Of the .safetensors file."""
    onnx: bool


def export_network(
    network: Network,
    bands: int,
    classes: int,
    weights: bytes,
    folder: Path,
    name: str,
    *,
    onnx: bool = False,
    source: NetworkSource = NO_SOURCE,
) -> ExportedNetwork:
    """Write NAME.pt2, NAME.safetensors and, when requested, NAME.onnx into a folder. All take any number of images of any height
    and width that are multiples of the network's stride.

    Raises ModelError when the network cannot be exported, or the output of a file differs from the network's; MissingExtra when
    ONNX is requested and not installed.
    """
    from safetensors.torch import load as decode

    module = build_network(network.model_copy(update={"weights": None}), bands, classes, source=source)
    load_weights(module, decode(weights), name)
    module = module.eval().cpu()
    stride = stride_of(module, bands, network.name)
    path = folder / f"{name}.safetensors"
    path.write_bytes(weights)
    _export(module, bands, stride, folder / f"{name}.pt2", network.name)
    _check_output(module, bands, stride, folder / f"{name}.pt2", "pt2")
    if onnx:
        _onnx(module, bands, stride, folder / f"{name}.onnx", network.name)
        _check_output(module, bands, stride, folder / f"{name}.onnx", "onnx")
    parameters = sum(each.numel() for each in module.parameters())
    return ExportedNetwork(parameters, stride, hashlib.sha256(weights).hexdigest(), onnx)


def check_export(module: nn.Module, network: Network, bands: int, stride: int) -> None:
    """Raise ModelError where a network of the project cannot be exported: before the training, not after it."""
    if ":" in network.name and not network.name.startswith(("smp:", "timm:")):
        _program(evaluated(module), bands, stride, network.name)


def _dynamic_axes(stride: int) -> dict[int, object]:
    """Axes of dynamic length, at least 2: torch specialises for 1."""
    if stride == 1:
        height, width = (torch.export.Dim(name, min=16) for name in ("rows", "columns"))
    else:
        height, width = (stride * torch.export.Dim(name, min=2) for name in ("rows", "columns"))
    return {0: torch.export.Dim("batch", min=1), 2: height, 3: width}


def _example(bands: int, stride: int) -> torch.Tensor:
    return torch.zeros(2, bands, max(4 * stride, 32), max(5 * stride, 40))


def _program(module: nn.Module, bands: int, stride: int, name: str) -> torch.export.ExportedProgram:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(module, (_example(bands, stride),), dynamic_shapes=(_dynamic_axes(stride),))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise ModelError(
            f"network {name}: torch.export cannot export it: {str(error).strip().partition(chr(10))[0]}",
            remedy="Write its forward without conditions on sizes and values.",
        ) from error


def _export(module: nn.Module, bands: int, stride: int, path: Path, name: str) -> None:
    program = _program(module, bands, stride, name)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # contains paths of the machine that trained
    torch.export.save(program, path)


def _onnx(module: nn.Module, bands: int, stride: int, path: Path, name: str) -> None:
    try:
        import onnxscript
    except ImportError:
        raise MissingExtra("onnxscript", "onnx", "writing a model as ONNX") from None
    del onnxscript
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, (_example(bands, stride),), str(path), dynamic_shapes=(_dynamic_axes(stride),), dynamo=True,
                input_names=["image"], output_names=["logits"], external_data=False, verbose=False,
            )  # fmt: skip
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        raise ModelError(
            f"network {name}: cannot be written as ONNX: {error}", remedy="Leave out `onnx: true`."
        ) from error


def _check_output(module: nn.Module, bands: int, stride: int, path: Path, form: Format) -> None:
    """Run a file as predict does, on images of another size than the example. Raises ModelError when its output differs."""
    random = np.random.default_rng(0)
    shape = (1, bands, max(6 * stride, 48), max(7 * stride, 56))
    images = random.standard_normal(shape).astype(np.float32)
    threads = torch.get_num_threads()
    predict: Callable[..., NDArray[np.float32]] = load_model(
        Weights(str(path), form, weights_sha256(str(path)), None, bands)
    )
    output = predict(images.copy())
    torch.set_num_threads(threads)
    with torch.inference_mode():
        expected = module(torch.from_numpy(images)).numpy()
    difference = float(np.abs(output - expected).max()) / max(float(np.abs(expected).max()), 1e-9)
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{path.name}: its output differs from that of the trained network (by {difference:.2g} of the largest logit)"
        )
