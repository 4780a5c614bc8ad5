"""Load weights of any form into a Predictor: a function from images to what the network gives, on one thread.

A worker is one process per core, so torch and onnxruntime are held to one thread in the process that loads a model.
Torch models take pixels in channels-last order: measured twice as fast as the other order for a small U-Net. Results
differ between the two in the last digits, so this order is part of the promise that the same pixels give the same map.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import pickle
import warnings
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from swath.errors import MissingExtra, ModelError
from swath.models import exported
from swath.models.contract import Format, ModelInfo, Precision, Weights
from swath.models.device import Device, DeviceUsage
from swath.models.global_layers import wide_parts
from swath.models.weights_cache import at_hand

if TYPE_CHECKING:
    import onnxruntime
    import torch

FORMATS: dict[str, Format] = {
    ".pt2": "pt2",
    ".pt": "torchscript",
    ".torchscript": "torchscript",
    ".onnx": "onnx",
    ".safetensors": "safetensors",
}
"""File endings of weights."""

_CACHED = 4


Network: TypeAlias = "torch.nn.Module | exported.Program"


class Predictor(Protocol):
    """A loaded network."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images (N, bands, H, W), scaled, to (N, channels, H, W), in whatever order of memory the network leaves them.

        Images whose memory is pixel by pixel (channels last) are not copied, so the network may write into them.
        Raises ModelError when the network refuses the images or gives another height and width.
        """


class TorchPredictor:
    """A network that torch runs: from torch.export, TorchScript, or a module with weights from safetensors."""

    def __init__(self, module: Network, path: str, precision: Precision = "float32", device: Device = "cpu") -> None:
        """`module` is in eval mode. With another precision than float32, torch chooses which operators compute in it
        (autocast); images and results are float32 all the same."""
        import torch

        torch.set_num_threads(1)
        if device == "cuda":
            if not torch.cuda.is_available():
                raise ModelError(
                    f"{path}: this process has no GPU that CUDA can use", remedy="set model.device to cpu, or to auto"
                )
            torch.backends.cudnn.allow_tf32 = False  # float32 is to be float32
            module = module.to(device)
        self._module = module
        self._path = path
        self._precision = precision
        self._device = device
        self.busy = DeviceUsage(device)
        """How long the device computed."""

    @property
    def wide(self) -> tuple[str, ...]:
        """Parts of the network that look at the whole image."""
        return wide_parts(self._module)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        tensor = torch.from_numpy(images.astype(np.float32, copy=min(images.strides) < 0))
        reduced = torch.autocast(self._device, getattr(torch, self._precision), enabled=self._precision != "float32")
        try:
            with torch.inference_mode(), reduced:
                tensor = self._moved(tensor.contiguous(memory_format=torch.channels_last))
                end = self.busy.begin()
                output = self._module(tensor)
                end()
                if not isinstance(output, torch.Tensor):
                    raise ModelError(f"{self._path}: the model gives {type(output).__name__}, not one tensor")
                result = output.to(torch.float32).cpu().numpy()
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise MemoryError(f"{self._path}: {_first_line(error)}") from error
            raise _refused(self._path, images, error) from error
        return _checked(self._path, images, result)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; by way of pinned memory, from which the GPU copies by itself."""
        return tensor if self._device == "cpu" else tensor.pin_memory().to(self._device, non_blocking=True)


class OnnxPredictor:
    """A network that onnxruntime runs."""

    def __init__(self, session: onnxruntime.InferenceSession, path: str) -> None:
        if len(session.get_inputs()) != 1:
            raise ModelError(f"{path}: the model takes {len(session.get_inputs())} inputs; swath runs models with one")
        self._session = session
        self._input: str = session.get_inputs()[0].name
        self._output: str = session.get_outputs()[0].name
        self._path = path

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        try:
            feed = {self._input: np.ascontiguousarray(images, dtype=np.float32)}
            result = np.asarray(self._session.run([self._output], feed)[0])
        except (errors.RuntimeException, errors.Fail, errors.InvalidArgument, errors.NotImplemented) as error:
            raise _refused(self._path, images, error) from error
        return _checked(self._path, images, result.astype(np.float32, copy=False))


def load(source: Weights | ModelInfo) -> Predictor:
    """The network of these weights, ready to run; of Weights in float32 on the CPU. Loaded once per process, as long as it
    is among the last few.

    Raises ModelError when the file is not what it says, is a pickle, or has changed since it was looked at, and when there is
    no GPU but the model is to run on one; MissingExtra when onnxruntime is needed and not installed.
    """
    if isinstance(source, Weights):
        return _load(source.path, source.format, source.factory, source.sha256, "float32", "cpu")
    return _load(source.path, source.format, source.factory, source.sha256, source.precision, source.device)


def format_of(path: str) -> Format:
    """The form of weights by the file's ending. Raises ModelError for another ending."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        known = ", ".join(FORMATS)
        remedy = "a pickled checkpoint runs code when it is opened: export it with torch.export.save to a .pt2 file"
        raise ModelError(f"{path}: not a form of weights that swath loads ({known})", remedy=remedy)
    return FORMATS[ending]


def digest(path: str) -> str:
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
    path = at_hand(href)
    if digest(path) != sha256:
        raise ModelError(f"{href}: the weights have changed since the run began", remedy="start the run again")
    match form:
        case "pt2":
            return TorchPredictor(_exported(path), path, precision, device)
        case "torchscript":
            return TorchPredictor(_scripted(path), path, precision, device)
        case "safetensors":
            return TorchPredictor(_assembled(path, factory), path, precision, device)
        case "onnx":
            return OnnxPredictor(_session(path), path)


def _exported(path: str) -> Network:
    import torch

    refuse_code(path)
    if plain := exported.read(path):
        return plain
    try:
        return torch.export.load(path).module()
    except (RuntimeError, ValueError, TypeError, AssertionError, KeyError, OSError) as error:
        raise ModelError(f"{path}: not a torch.export program that this torch loads: {_first_line(error)}") from error


def refuse_code(path: str) -> None:
    """Refuse a .pt2 archive that holds more than tensors: torch.export.load (2.13) unpickles whatever is in it."""
    refusal = f"{path}: holds pickled objects or compiled code, which could do anything when loaded"
    remedy = "export it with torch.export.save from a model that has only tensors"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names) or any("/aotinductor/" in f"/{name}" for name in names):
                raise ModelError(refusal, remedy=remedy)
            pickled = [name for name in names if name.endswith(".pt")]
            for config in (name for name in names if name.endswith("_config.json")):
                for entry in json.loads(archive.read(config))["config"].values():
                    if entry["path_name"].startswith(("custom_obj", "opaque_obj")):
                        raise ModelError(refusal, remedy=remedy)
                    if entry["use_pickle"]:
                        pickled.append(config.rpartition("/")[0] + "/" + entry["path_name"])
            for name in pickled:
                _only_tensors(archive.read(name), refusal, remedy)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a torch.export archive: {_first_line(error)}") from error


def _only_tensors(data: bytes, refusal: str, remedy: str) -> None:
    import torch

    if data:
        try:
            torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise ModelError(refusal, remedy=remedy) from error


def _scripted(path: str) -> torch.nn.Module:
    import torch

    names = zipfile.ZipFile(path).namelist() if zipfile.is_zipfile(path) else []
    if not any(name.endswith("/constants.pkl") for name in names):
        raise ModelError(
            f"{path}: not TorchScript; it looks like a pickled checkpoint, which runs code when it is opened",
            remedy="export the model with torch.export.save to a .pt2 file, or save its weights as .safetensors",
        )
    with warnings.catch_warnings():
        # torch says that TorchScript is on its way out; files of it will be around for long.
        warnings.filterwarnings("ignore", message=".*torch.jit.load. is deprecated", category=DeprecationWarning)
        try:
            module: torch.nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: TorchScript that this torch does not load: {_first_line(error)}") from error
    return module.eval()


def _assembled(path: str, factory: str | None) -> torch.nn.Module:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if factory is None:
        remedy = "say in the spec: model: {path: ..., factory: 'package.module:function'}"
        raise ModelError(f"{path}: weights alone are no network: the factory is missing", remedy=remedy)
    module = _made_by(factory, path)
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{path}: factory {factory} gave {type(module).__name__}, not a torch.nn.Module")
    try:
        module.load_state_dict(load_file(path), strict=True)
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file: {_first_line(error)}") from error
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit the network of factory {factory}: {error}") from error
    return module.eval()


def _made_by(factory: str, path: str) -> Any:
    name, _, function = factory.partition(":")
    if not name or not function:
        raise ModelError(f"{path}: factory {factory!r} must be module:function")
    try:
        make = getattr(importlib.import_module(name), function)
    except ImportError as error:
        remedy = "the module has to be installed, or its folder has to be in PYTHONPATH"
        raise ModelError(f"{path}: factory {factory}: cannot import {name}: {error}", remedy=remedy) from error
    except AttributeError:
        raise ModelError(f"{path}: factory {factory}: module {name} has no {function}") from None
    try:
        return make()
    except TypeError as error:
        raise ModelError(f"{path}: factory {factory} must be callable without arguments: {error}") from error


def _session(path: str) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", path) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised; the log would say it again on stderr
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except (
        errors.InvalidProtobuf,
        errors.InvalidGraph,
        errors.Fail,
        errors.NotImplemented,
        errors.NoSuchFile,
    ) as error:
        raise ModelError(f"{path}: not an ONNX model that onnxruntime loads: {_first_line(error)}") from error


def _refused(path: str, images: NDArray[np.float32], error: Exception) -> ModelError:
    shape = " x ".join(str(n) for n in images.shape)
    return ModelError(f"{path}: the model refuses images of {shape} (N, bands, height, width): {_first_line(error)}")


def _checked(path: str, images: NDArray[np.float32], result: NDArray[np.float32]) -> NDArray[np.float32]:
    if result.ndim != 4 or result.shape[0] != images.shape[0] or result.shape[2:] != images.shape[2:]:
        raise ModelError(
            f"{path}: images of shape {images.shape} became {result.shape}; swath needs both sizes kept",
            remedy="export a model that ends with its own upsampling and gives (N, channels, height, width)",
        )
    return result


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _conforms(torch_predictor: TorchPredictor, onnx_predictor: OnnxPredictor) -> tuple[Predictor, Predictor]:
    return torch_predictor, onnx_predictor
