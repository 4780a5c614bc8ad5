"""OnnxPredictor: runs an ONNX model with onnxruntime, on one thread of the CPU."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swath.errors import MissingExtra, ModelError
from swath.models.predictor import Predictor, check_shape, first_line, refused
from swath.models.safety.onnx_file import check_onnx

if TYPE_CHECKING:
    import onnxruntime


class OnnxPredictor:
    """A network that onnxruntime runs."""

    def __init__(self, session: onnxruntime.InferenceSession, path: str) -> None:
        if len(session.get_inputs()) != 1:
            raise ModelError(f"{path}: the model takes {len(session.get_inputs())} inputs; swath runs models with one")
        self._session = session
        self._input: str = session.get_inputs()[0].name
        self._output: str = session.get_outputs()[0].name
        self._path = path

    @classmethod
    def open(cls, path: str) -> OnnxPredictor:
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
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
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
            raise ModelError(f"{path}: not an ONNX model that onnxruntime loads: {first_line(error)}") from error
        return cls(session, path)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        try:
            feed = {self._input: np.ascontiguousarray(images, dtype=np.float32)}
            result = np.asarray(self._session.run([self._output], feed)[0])
        except (errors.RuntimeException, errors.Fail, errors.InvalidArgument, errors.NotImplemented) as error:
            raise refused(self._path, images, error) from error
        return check_shape(self._path, images, result.astype(np.float32, copy=False))


def require_onnxruntime(path: str) -> None:
    """Raise MissingExtra where onnxruntime is not installed."""
    try:
        importlib.import_module("onnxruntime")
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", path) from None


def _conforms(predictor: OnnxPredictor) -> Predictor:
    return predictor
