"""OnnxPredictor: runs an ONNX model with onnxruntime, on one thread of the CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import MissingExtra, ModelError
from swath.models.declaration import choose_output
from swath.models.network_axes import PLAIN, WHOLE_TYPES, NetworkAxes
from swath.models.predictor import Predictor, cause, check_shape, converted, out_of_memory, refused
from swath.models.safety.onnx_file import check_onnx

if TYPE_CHECKING:
    import onnxruntime

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_TYPES |= {f"tensor({each})": each for each in WHOLE_TYPES}


class OnnxPredictor:
    """A network that onnxruntime runs."""

    def __init__(
        self, session: onnxruntime.InferenceSession, path: str, output: str = "", axes: NetworkAxes = PLAIN
    ) -> None:
        """`output` is the name of the output to use where there are several. Raises ModelError when there is none of that name, or
        the model takes anything but one tensor of numbers."""
        inputs = session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise ModelError(f"{path}: the model takes {len(inputs)} inputs ({names}); swath runs models with one")
        if inputs[0].type not in _TYPES:
            raise ModelError(f"{path}: the model takes {inputs[0].type}; swath gives {', '.join(_TYPES.values())}")
        self._session = session
        self._input: str = inputs[0].name
        self.input_dtype = _TYPES[inputs[0].type]
        self._axes = axes
        self._output = choose_output(path, [each.name for each in session.get_outputs()], output)
        self.path = path

    @classmethod
    def open(cls, path: str, output: str = "", name: str = "", axes: NetworkAxes = PLAIN) -> OnnxPredictor:
        """The model, with the output of this name where it has several. Messages call it `name`. Raises ModelError as `load` and
        __init__ do."""
        return cls(cls.load(path), name or path, output, axes)

    @staticmethod
    def load(path: str) -> onnxruntime.InferenceSession:
        """Raises ModelError for a file that onnxruntime does not load or that calls or reads what it may not, MissingExtra where
        onnxruntime is not installed."""
        require_onnxruntime(path)
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        check_onnx(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised; the log would repeat them on stderr
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except (
            errors.InvalidProtobuf,
            errors.InvalidGraph,
            errors.Fail,
            errors.NotImplemented,
            errors.NoSuchFile,
            errors.InvalidArgument,
            errors.RuntimeException,
            ValueError,  # texts that are no UTF-8
        ) as error:
            remedy = (
                "export it with an older opset (opset_version=17), or update onnxruntime"
                if "opset" in str(error)
                else ""
            )
            raise ModelError(
                f"{path}: not an ONNX model that onnxruntime loads: {cause(error)}", remedy=remedy
            ) from error

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        try:
            feed = {self._input: np.ascontiguousarray(converted(self._axes.given(images), self.input_dtype, self.path))}
            result = np.asarray(self._session.run([self._output], feed)[0])
        except (errors.RuntimeException, errors.Fail, errors.InvalidArgument, errors.NotImplemented) as error:
            if out_of_memory(error):
                raise MemoryError(f"{self.path}: {cause(error)}") from error
            raise refused(self.path, images, error) from error
        return check_shape(self.path, images, self._axes.arranged(result.astype(np.float32, copy=False), self.path))


def require_onnxruntime(path: str) -> None:
    """Raise MissingExtra where onnxruntime is not installed."""
    try:
        importlib.import_module("onnxruntime")
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", path) from None


def _conforms(predictor: OnnxPredictor) -> Predictor:
    return predictor
