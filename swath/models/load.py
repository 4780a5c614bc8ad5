"""Load the weights of a model, in any format, into a Predictor: once per process, after their checksum was verified.

A worker is one process per core, so torch and onnxruntime use one thread in a process that has loaded a model.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from swath.errors import ModelError
from swath.models.contract import Format, ModelInfo, Precision, Weights
from swath.models.device import Device
from swath.models.onnx_predictor import OnnxPredictor
from swath.models.predictor import Predictor
from swath.models.torch_files import load_safetensors, load_torch_export, load_torchscript
from swath.models.torch_predictor import TorchPredictor
from swath.models.weights_cache import local_copy

FORMATS: dict[str, Format] = {
    ".pt2": "pt2",
    ".pt": "torchscript",
    ".torchscript": "torchscript",
    ".onnx": "onnx",
    ".safetensors": "safetensors",
}
"""Format of weights by the file's suffix."""

_CACHED = 4


def load_model(source: Weights | ModelInfo) -> Predictor:
    """The network of these weights, ready to run; of Weights in float32 on the CPU. Loaded once per process, as long as it
    is among the last few.

    Raises ModelError when the file is not of its format, is a pickle, or has changed since its checksum was taken, and when there is
    no GPU but the model is to run on one; MissingExtra when onnxruntime is needed and not installed.
    """
    if isinstance(source, Weights):
        return _load(source.path, source.format, source.factory, source.sha256, "float32", "cpu")
    return _load(source.path, source.format, source.factory, source.sha256, source.precision, source.device)


def format_of(path: str) -> Format:
    """The format of weights by the file's suffix. Raises ModelError for another suffix."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        remedy = "a pickled checkpoint runs code when it is opened: export it with torch.export.save to a .pt2 file"
        raise ModelError(f"{path}: not a format of weights that swath loads ({known})", remedy=remedy)
    return FORMATS[suffix]


def weights_sha256(path: str) -> str:
    """SHA-256 of the weights, with the `.onnx.data` file where ONNX has one. Raises ModelError if unreadable."""
    hashed = hashlib.sha256()
    try:
        for part in (Path(path), Path(path + ".data")):
            if part.suffix != ".data" or part.is_file():
                with part.open("rb") as file:
                    while chunk := file.read(1 << 20):
                        hashed.update(chunk)
    except OSError as error:
        raise ModelError(f"{path}: the weights cannot be read: {error.strerror or error}") from error
    return hashed.hexdigest()


@lru_cache(maxsize=_CACHED)
def _load(href: str, form: Format, factory: str | None, sha256: str, precision: Precision, device: Device) -> Predictor:
    path = local_copy(href)
    if weights_sha256(path) != sha256:
        raise ModelError(f"{href}: the weights have changed since the run began", remedy="start the run again")
    match form:
        case "pt2":
            return TorchPredictor(load_torch_export(path), path, precision, device)
        case "torchscript":
            return TorchPredictor(load_torchscript(path), path, precision, device)
        case "safetensors":
            return TorchPredictor(load_safetensors(path, factory), path, precision, device)
        case "onnx":
            return OnnxPredictor.open(path)
