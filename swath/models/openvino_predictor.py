"""OpenVinoPredictor: runs an ONNX model with OpenVINO, on one thread of the CPU, in float32 or a reduced precision.

The network is compiled for each size of images by itself, a tenth of a second each. With sizes left dynamic OpenVINO 2026.4 gives the
result of the images before, without an error, where the network does not take a size; with sizes that are fixed this is an error
when it compiles.
"""

from __future__ import annotations

import importlib
import threading
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import MissingExtra, ModelError
from swath.models.contract import Precision
from swath.models.declaration import choose_output
from swath.models.network_axes import PLAIN, WHOLE_TYPES, NetworkAxes
from swath.models.predictor import Predictor, cause, check_shape, converted, out_of_memory, refused
from swath.models.safety.onnx_file import check_onnx

if TYPE_CHECKING:
    import openvino

COMPILED_SIZES = 4
"""Sizes of images whose compiled network is kept. Only that of the last image has memory for intermediate results."""
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_TYPES = {"f32": "float32", "f16": "float16", "f64": "float64"}
_TYPES |= {("u" if each[0] == "u" else "i") + each.removeprefix("u").removeprefix("int"): each for each in WHOLE_TYPES}


class OpenVinoPredictor:
    """A network that OpenVINO runs."""

    def __init__(
        self,
        model: openvino.Model,
        path: str,
        output: str = "",
        precision: Precision = "float32",
        axes: NetworkAxes = PLAIN,
    ) -> None:
        """`output` is the name of the output to use where there are several. Raises ModelError when there is none of that name, or
        the model takes anything but one tensor of numbers."""
        if len(model.inputs) != 1:
            names = ", ".join(each.any_name for each in model.inputs)
            raise ModelError(
                f"{path}: the model takes {len(model.inputs)} inputs ({names}); swath runs models with one"
            )
        taken = model.inputs[0].element_type.get_type_name()
        if taken not in _TYPES:
            raise ModelError(f"{path}: the model takes {taken}; swath gives {', '.join(_TYPES.values())}")
        outputs = [each.any_name for each in model.outputs]
        self._output = outputs.index(choose_output(path, outputs, output))
        self.input_dtype = _TYPES[taken]
        self._axes = axes
        self._model = model
        self._precision = precision
        self._compiled: OrderedDict[tuple[int, ...], tuple[openvino.CompiledModel, openvino.InferRequest]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()  # a request computes for one caller at a time
        self.path = path

    @classmethod
    def open(
        cls,
        path: str,
        output: str = "",
        precision: Precision = "float32",
        name: str = "",
        axes: NetworkAxes = PLAIN,
    ) -> OpenVinoPredictor:
        """The model, with the output of this name where it has several. Messages call it `name`. Raises ModelError as `read` and
        __init__ do."""
        return cls(cls.read(path, name), name or path, output, precision, axes)

    @staticmethod
    def read(path: str, name: str = "") -> openvino.Model:
        """The model's graph and weights. Raises ModelError for a file that OpenVINO does not read or that calls or reads what it may
        not; MissingExtra where OpenVINO is not installed."""
        name = name or path
        require_openvino(name)
        check_onnx(path)
        try:
            return _core().read_model(path)
        except RuntimeError as error:
            raise ModelError(f"{name}: not an ONNX model that OpenVINO reads: {cause(error)}") from error

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        import openvino

        given = np.ascontiguousarray(converted(self._axes.given(images), self.input_dtype, self.path))
        try:
            with self._lock:
                request = self._request(given.shape)
                request.infer([openvino.Tensor(given, shared_memory=True)], share_inputs=True)
                result = np.array(request.get_output_tensor(self._output).data, np.float32)
        except RuntimeError as error:
            if out_of_memory(error):
                raise MemoryError(f"{self.path}: {cause(error)}") from error
            raise refused(self.path, images, error) from error
        return check_shape(self.path, images, self._axes.arranged(result, self.path))

    def _request(self, shape: tuple[int, ...]) -> openvino.InferRequest:
        """The network, compiled for images of this shape. Raises RuntimeError where it does not take them, and ModelError where this
        processor does not compute in the precision."""
        last = next(reversed(self._compiled), None)
        if last is not None and last != shape:  # gigabytes for a U-Net and four sizes; to take it again costs little
            self._compiled[last][0].release_memory()
        if shape in self._compiled:
            self._compiled.move_to_end(shape)
            return self._compiled[shape][1]
        model = self._model.clone()
        model.reshape(list(shape))
        if not model.outputs[self._output].partial_shape.is_static:
            raise RuntimeError("the size of the result depends on the numbers in the images")
        options = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # all workers of a machine would be put on its first core
        }
        compiled = _core().compile_model(model, "CPU", options)
        if compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() != _HINTS[self._precision]:
            raise ModelError(
                f"{self.path}: OpenVINO does not compute in {self._precision} on this processor",
                remedy="leave model.precision out",
            )
        while len(self._compiled) >= COMPILED_SIZES:
            self._compiled.popitem(last=False)
        self._compiled[shape] = (compiled, compiled.create_infer_request())
        return self._compiled[shape][1]


@cache
def _core() -> openvino.Core:
    import openvino

    return openvino.Core()


def require_openvino(path: str) -> None:
    """Raise MissingExtra where OpenVINO is not installed."""
    try:
        importlib.import_module("openvino")
    except ImportError:
        raise MissingExtra("openvino", "openvino", path) from None


def _conforms(predictor: OpenVinoPredictor) -> Predictor:
    return predictor
