"""ModelRuntime: the interface of a library that runs networks, the three that swath has, and that of functions of the project.

The libraries, and numpy, are imported when a network is opened. All run one thread on the CPU; a worker is one process per core. Only
torch runs on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from swath.errors import MissingExtra, ModelError
from swath.models.contract import Format, Precision, Runtime, native_runtime
from swath.models.conversion import CONVERTED
from swath.models.device import Device
from swath.models.network_axes import PLAIN, NetworkAxes

if TYPE_CHECKING:
    from swath.models.predictor import Predictor


@dataclass(frozen=True)
class NetworkFile:
    """A file that a runtime opens."""

    path: str
    """On this machine."""
    name: str
    """Path or URL of the weights, for messages."""
    format: Format
    output: str = ""
    """Which output is used where the network gives several."""
    factory: str | None = None
    code: str = ""
    """Digest of the factory's code, see swath.module_code."""
    axes: NetworkAxes = PLAIN
    """How the network's arrays lie."""


class ModelRuntime(Protocol):
    """A library that runs networks. tests/models/test_runtime.py is what each has to pass."""

    @property
    def name(self) -> Runtime: ...

    @property
    def package(self) -> str:
        """The module to import, which need not be installed."""

    @property
    def extra(self) -> str:
        """The extra of swath that installs it; "" for what swath itself needs."""

    @property
    def formats(self) -> tuple[Format, ...]:
        """What it opens; the CONVERTED formats are brought to one of them otherwise."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What it may compute in."""

    @property
    def devices(self) -> tuple[Device, ...]: ...

    def open(self, file: NetworkFile, precision: Precision, device: Device) -> Predictor:
        """The file's network, ready to run, on one thread. Results are float32.

        Raises ModelError for a file that it does not load, and where this machine has no such device or precision.
        """


@dataclass(frozen=True)
class TorchRuntime:
    """PyTorch."""

    name: Runtime = "torch"
    package: str = "torch"
    extra: str = ""
    formats: tuple[Format, ...] = ("pt2", "torchscript", "safetensors", "checkpoint")
    precisions: tuple[Precision, ...] = ("float32", "bfloat16", "float16")
    devices: tuple[Device, ...] = ("cpu", "cuda")

    def open(self, file: NetworkFile, precision: Precision, device: Device) -> Predictor:
        from swath.models import torch_files
        from swath.models.torch_predictor import TorchPredictor

        path, output, axes = file.path, file.output, file.axes
        match file.format:
            case "pt2":
                program = torch_files.load_torch_export(path, output)
                return TorchPredictor(program, path, precision, device, axes=axes)
            case "torchscript":
                return TorchPredictor(torch_files.load_torchscript(path), path, precision, device, output, axes)
            case "safetensors":
                return TorchPredictor(
                    torch_files.load_safetensors(path, file.factory, file.code), path, precision, device, output, axes
                )
            case "checkpoint":
                return TorchPredictor(
                    torch_files.load_checkpoint(path, file.factory, file.code), path, precision, device, output, axes
                )
        raise ModelError(f"{file.name}: torch does not run {file.format} files")


@dataclass(frozen=True)
class OnnxRuntime:
    """onnxruntime."""

    name: Runtime = "onnxruntime"
    package: str = "onnxruntime"
    extra: str = "onnx"
    formats: tuple[Format, ...] = ("onnx",)
    precisions: tuple[Precision, ...] = ("float32",)
    devices: tuple[Device, ...] = ("cpu",)

    def open(self, file: NetworkFile, precision: Precision, device: Device) -> Predictor:
        from swath.models.onnx_predictor import OnnxPredictor

        return OnnxPredictor.open(file.path, file.output, file.name, file.axes)


@dataclass(frozen=True)
class OpenVinoRuntime:
    """OpenVINO."""

    name: Runtime = "openvino"
    package: str = "openvino"
    extra: str = "openvino"
    formats: tuple[Format, ...] = ("onnx",)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    devices: tuple[Device, ...] = ("cpu",)

    def open(self, file: NetworkFile, precision: Precision, device: Device) -> Predictor:
        from swath.models.openvino_predictor import OpenVinoPredictor

        return OpenVinoPredictor.open(file.path, file.output, precision, file.name, file.axes)


@dataclass(frozen=True)
class PythonRuntime:
    """Calls of a function of the project."""

    name: Runtime = "python"
    package: str = "numpy"
    extra: str = ""
    formats: tuple[Format, ...] = ("function",)
    precisions: tuple[Precision, ...] = ("float32",)
    devices: tuple[Device, ...] = ("cpu",)

    def open(self, file: NetworkFile, precision: Precision, device: Device) -> Predictor:
        from swath.models.function_predictor import FunctionPredictor

        return FunctionPredictor.open(file.factory or "", file.code, file.path, file.axes)


RUNTIMES: dict[Runtime, ModelRuntime] = {each.name: each for each in (TorchRuntime(), OnnxRuntime(), OpenVinoRuntime())}
"""Those that run files of networks."""
_PYTHON = PythonRuntime()


def runtime_of(name: Runtime) -> ModelRuntime:
    """The runtime of this name."""
    return RUNTIMES.get(name, _PYTHON)


def require_runtime(runtime: Runtime, path: str) -> None:
    """Raise MissingExtra where the runtime is not installed. Imports nothing."""
    found = runtime_of(runtime)
    if not is_installed(runtime):
        raise MissingExtra(found.package, found.extra, path)


def is_installed(runtime: Runtime) -> bool:
    """Whether the runtime can be imported, without importing it."""
    try:
        return find_spec(runtime_of(runtime).package) is not None
    except ValueError:  # a module without a spec, or None, in sys.modules
        return False


def obstacle(runtime: Runtime, form: Format, precision: Precision, device: Device) -> str:
    """Why a runtime cannot run files of a format so, for a message that continues `runtime openvino`; "" where it can."""
    found = runtime_of(runtime)
    if form not in found.formats and not (form in CONVERTED and "onnx" in found.formats):
        return f"does not run {form} files: {native_runtime(form)} does"
    if device not in found.devices:
        return f"does not run on device {device}"
    if precision not in found.precisions:
        return f"does not compute in {precision}"
    return ""
