"""Load the weights of a model, in any format, into a Predictor: once per process, after their checksum was verified.

A file that swath has not loaded before is loaded in a process without rights first: safety/first_load.py.
A worker is one process per core, so all runtimes use one thread in a process that has loaded a model.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from swath.errors import ModelError
from swath.models.contract import Contract, Format, ModelInfo, Precision, Runtime, Weights, native_runtime
from swath.models.conversion import OUTPUT, ConvertibleWeights, NotConverted, converted_weights
from swath.models.declaration import Declaration
from swath.models.device import Device
from swath.models.exported_archive import check_archive, read_declaration, read_graph
from swath.models.network_axes import NetworkAxes
from swath.models.runtime import NetworkFile, require_runtime, runtime_of
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


def load_model(source: Weights | ModelInfo) -> Predictor:
    """The network of these weights, ready to run; of Weights in float32 on the CPU, by the runtime of their format. Loaded once per
    process, as long as it is among the last few.

    Raises ModelError when the file is not of its format, is a pickle, or has changed since its checksum was taken, when there is
    no GPU but the model is to run on one, and when it cannot be converted for its runtime; MissingExtra when the runtime is not
    installed.
    """
    if isinstance(source, Weights):
        form, output = source.format, source.output
        how = _How(native_runtime(form), "float32", "cpu", source.axes)
        bands, stride, smallest, size = source.bands, 1, 1, 0
    else:
        form, output = source.format, source.contract.output_name
        how = _How(source.used_runtime, source.precision, source.device, source.contract.axes)
        bands, stride, smallest = len(source.contract.bands), source.stride, source.smallest
        size = source.size
    weights = ConvertibleWeights(
        source.sha256, form, source.factory or "", source.code, output, bands, stride, smallest, size
    )
    if form in runtime_of(how.runtime).formats:  # one object for all that does not depend on these
        weights = replace(weights, bands=0, stride=1, smallest=1, size=0)
    return _load(source.path, weights, how)


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


@dataclass(frozen=True)
class _How:
    runtime: Runtime
    precision: Precision
    device: Device
    axes: NetworkAxes


@lru_cache(maxsize=_CACHED)
def _load(href: str, weights: ConvertibleWeights, how: _How) -> Predictor:
    form = weights.format
    path = "" if href == weights.factory else local_copy(href)  # of a function that reads no file
    if path and weights_sha256(path) != weights.sha256:
        raise ModelError(f"{href}: the weights have changed since the run began", remedy="start the run again")
    require_runtime(how.runtime, href)
    runtime, output = runtime_of(how.runtime), weights.output
    sha256 = weights.sha256
    if form not in runtime.formats:
        if how.axes.bands_last:
            raise NotConverted(f"{href}: a network whose bands are the last axis is not converted to ONNX")
        path, form, output = converted_weights(path, weights), "onnx", OUTPUT
        sha256 = weights_sha256(path)
    if form not in ("safetensors", "function"):  # which is nothing but numbers, and what the project's own code reads
        files = tuple(str(Path(each).absolute()) for each in weights_files(path))
        rehearsal = "rehearse_openvino" if how.runtime == "openvino" else "rehearse"
        load_first(FirstLoad(path, form, sha256, files, (runtime.package,), f"{__name__}:{rehearsal}"))
    file = NetworkFile(path, href, form, output, weights.factory or None, weights.code, how.axes)
    with _remedy() if form == "pt2" else contextlib.nullcontext():
        return runtime.open(file, how.precision, how.device)


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
        declared.check(path, len(contract.bands), contract.output_name, contract.expected_channels, contract.axes)


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
                tuple(each.shape for each in graph.outputs),
                tuple(each.dtype for each in graph.outputs),
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


def rehearse_openvino(path: str, form: Format) -> None:
    """Read an ONNX file's network; compiling it takes threads, which there are none of here. Raises ModelError."""
    from swath.models.openvino_predictor import OpenVinoPredictor

    with _remedy():
        OpenVinoPredictor.read(path)


@contextlib.contextmanager
def _remedy() -> Iterator[None]:
    """Inside, an error of a file that says no remedy gets one."""
    try:
        yield
    except ModelError as error:
        error.remedy = error.remedy or DAMAGED
        raise
