"""Load the weights of a model, in any format, into a Predictor: once per process, after their checksum was verified.

A file that swath has not loaded before is loaded in a process without rights first: safety/first_load.py.
A worker is one process per core, so torch and onnxruntime use one thread in a process that has loaded a model.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import ModelError
from swath.models.contract import Contract, Format, ModelInfo, Precision, Weights
from swath.models.declaration import Declaration
from swath.models.device import Device
from swath.models.exported_archive import check_archive, read_declaration, read_graph
from swath.models.safety.first_load import FirstLoad, load_first
from swath.models.safety.onnx_file import check_onnx, read_onnx, weights_files
from swath.models.safety.torchscript import check_script_archive
from swath.models.weights_cache import local_copy

if TYPE_CHECKING:
    from swath.models.predictor import Predictor

FORMATS: dict[str, Format] = {
    ".pt2": "pt2",
    ".pt": "torchscript",
    ".torchscript": "torchscript",
    ".onnx": "onnx",
    ".safetensors": "safetensors",
}
"""Format of weights by the file's suffix."""
CHECKPOINTS = (".ckpt", ".pth", ".pt")
"""Suffixes of files of torch.save: pickles, which are read only where the spec says `trust: true`."""

DAMAGED = "the file is damaged, or not what its suffix says: copy it again, or export the model again"
_CACHED = 4
_LIBRARIES = {"onnx": ("onnxruntime",)}


def load_model(source: Weights | ModelInfo) -> Predictor:
    """The network of these weights, ready to run; of Weights in float32 on the CPU. Loaded once per process, as long as it
    is among the last few.

    Raises ModelError when the file is not of its format, is a pickle, or has changed since its checksum was taken, and when there is
    no GPU but the model is to run on one; MissingExtra when onnxruntime is needed and not installed.
    """
    if isinstance(source, Weights):
        return _load(
            source.path, source.format, source.factory, source.code, source.sha256, source.output, "float32", "cpu"
        )
    output = source.contract.output_name
    return _load(
        source.path, source.format, source.factory, source.code, source.sha256, output, source.precision, source.device
    )  # fmt: skip


def format_of(path: str, trust: bool = False) -> Format:
    """The format of weights by the file's suffix; that of torch.save only with `trust`. Raises ModelError for another suffix."""
    suffix = Path(path).suffix.lower()
    if trust and suffix in CHECKPOINTS:
        return "checkpoint"
    if suffix in FORMATS:
        return FORMATS[suffix]
    remedy = "a pickled checkpoint runs code when it is opened: export it with torch.export.save to a .pt2 file"
    if suffix in CHECKPOINTS:
        remedy += ", or say `trust: true` and `factory` if you know who made it"
    raise ModelError(f"{path}: not a format of weights that swath loads ({', '.join(FORMATS)})", remedy=remedy)


def weights_sha256(path: str) -> str:
    """SHA-256 of the weights, with the files beside it in which an ONNX model keeps some. Raises ModelError if unreadable."""
    hashed = hashlib.sha256()
    try:
        for part in weights_files(path):
            with Path(part).open("rb") as file:
                while chunk := file.read(1 << 20):
                    hashed.update(chunk)
    except OSError as error:
        raise ModelError(f"{path}: the weights cannot be read: {error.strerror or error}") from error
    return hashed.hexdigest()


@lru_cache(maxsize=_CACHED)
def _load(
    href: str,
    form: Format,
    factory: str | None,
    code: str,
    sha256: str,
    output: str,
    precision: Precision,
    device: Device,
) -> Predictor:
    path = local_copy(href)
    if weights_sha256(path) != sha256:
        raise ModelError(f"{href}: the weights have changed since the run began", remedy="start the run again")
    from swath.models import torch_files  # here and not above: who reads a contract needs no numpy
    from swath.models.onnx_predictor import OnnxPredictor, require_onnxruntime
    from swath.models.torch_predictor import TorchPredictor

    if form == "onnx":
        require_onnxruntime(path)
    if form != "safetensors":  # which is nothing but numbers
        files = tuple(str(Path(each).absolute()) for each in weights_files(path))
        libraries = _LIBRARIES.get(form, ("torch",))
        load_first(FirstLoad(path, form, sha256, files, libraries, f"{__name__}:rehearse"))
    match form:
        case "pt2":
            with _remedy():
                return TorchPredictor(torch_files.load_torch_export(path, output), path, precision, device)
        case "torchscript":
            return TorchPredictor(torch_files.load_torchscript(path), path, precision, device, output)
        case "safetensors":
            return TorchPredictor(torch_files.load_safetensors(path, factory, code), path, precision, device, output)
        case "checkpoint":
            return TorchPredictor(torch_files.load_checkpoint(path, factory, code), path, precision, device, output)
        case "onnx":
            return OnnxPredictor.open(path, output)


def check_file(path: str, form: Format, contract: Contract | None = None) -> None:
    """Raise ModelError for a file that holds what a model may not (operators, pickles, names of other files, a network in training
    mode), or that declares an input or outputs which do not fit `contract`. Imports no torch, reads no weights; loading the file
    checks the rest."""
    with _remedy():
        match form:
            case "pt2":
                check_archive(path)
            case "torchscript":
                check_script_archive(path)
            case "onnx":
                check_onnx(path)
        declared = declaration_of(path, form) if contract is not None else None
    if contract is not None and declared is not None:
        declared.check(path, len(contract.bands), contract.output_name, contract.expected_channels)


def declaration_of(path: str, form: Format) -> Declaration | None:
    """What the file declares of its input and outputs; None where its format declares nothing. Raises ModelError."""
    match form:
        case "pt2":
            return read_declaration(path)
        case "onnx":
            graph = read_onnx(path)
            first = graph.inputs[0] if graph.inputs else None
            return Declaration(
                tuple(each.name for each in graph.inputs),
                first.dtype if first is not None else "",
                first.shape if first is not None else None,
                tuple(each.name for each in graph.outputs),
                tuple(
                    each.shape[1] if each.shape is not None and len(each.shape) == 4 else None for each in graph.outputs
                ),
            )
    return None


def rehearse(path: str, form: Format) -> None:
    """Load a file's network, or its weights where the network is the project's own; of .pt2 the graph only, because reading its
    weights is copying numbers. Raises ModelError."""
    with _remedy():
        if form == "onnx":
            from swath.models.onnx_predictor import OnnxPredictor

            OnnxPredictor.load(path)
            return
        import torch

        from swath.models import torch_files

        torch.set_num_threads(1)
        match form:
            case "pt2":
                read_graph(path)
            case "torchscript":
                torch_files.load_torchscript(path)
            case "checkpoint":
                torch_files.read_checkpoint(path)


@contextlib.contextmanager
def _remedy() -> Iterator[None]:
    """Inside, an error of a file that says no remedy gets one."""
    try:
        yield
    except ModelError as error:
        error.remedy = error.remedy or DAMAGED
        raise
