"""Predictor: the interface of a loaded network, and the errors that every implementation of it raises."""

from __future__ import annotations

import re
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError
from swath.models.network_axes import WHOLE_TYPES

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (?:Load model from \S+ failed:)?")
_SOURCE = re.compile(r"/onnxruntime_src/\S+ ")
_SIGNATURE = re.compile(
    r"(?:void|bool|static|virtual|onnxruntime::\S+) [^()]*onnxruntime::[^()]*\((?:[^()]|\([^()]*\))*\)(?: const)? "
)
_OPENVINO = re.compile(
    r"(?:Exception from|[Cc]heck '(?:[^']|'(?! failed))*' failed at|failed at) (?:src|\./src|/\S*src)\S*:\s*"
)
_TRACE = re.compile(r"Exception raised from |Cast error details: ")
"""What follows names places in C++ and Python classes."""
_RAISED = re.compile(r"\w*(?:Error|Exception)\b.*: ")


class Predictor(Protocol):
    """A loaded network."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images (N, bands, H, W), scaled, to (N, channels, H, W), in whatever order of memory the network leaves them.

        Images in channels-last memory are not copied, so the network may write into them.
        Raises ModelError when the network refuses the images or gives another height and width.
        """


class ImagesRefused(ModelError):
    """A network does not take images of this shape; it may take others."""


def refused(path: str, images: NDArray[np.float32], error: Exception) -> ImagesRefused:
    """The error of a network that raised `error` on these images."""
    shape = " x ".join(str(n) for n in images.shape)
    return ImagesRefused(
        f"{path}: the model refuses images of {shape} (N, bands, height, width): {cause(error)}",
        remedy="export it for images of any height and width, and as many bands as its contract names",
    )


def check_shape(path: str, images: NDArray[np.float32], output: NDArray[np.float32]) -> NDArray[np.float32]:
    """The output itself. Raises ModelError unless it is (N, channels, H, W) with the images' N, H and W."""
    if output.ndim != 4 or output.shape[0] != images.shape[0] or output.shape[2:] != images.shape[2:]:
        remedy = "export a model that ends with its own upsampling and gives (N, channels, height, width)"
        if output.ndim == 3 and output.shape[1:] == images.shape[2:]:
            remedy = (
                "for class numbers write batch, height, width as dim_order of mlm:output.0.result, with three numbers as its shape; or "
                "export the model without its argmax, which gives one channel for each class"
            )
        elif output.ndim == 4 and output.shape[1:3] == images.shape[2:]:
            remedy = (
                "write batch, height, width, channel as dim_order of mlm:output.0.result, and its shape in this order"
            )
        raise ImagesRefused(
            f"{path}: images of shape {images.shape} became {output.shape}; swath needs both sizes kept", remedy=remedy
        )
    return output


def converted(images: NDArray[np.float32], dtype: str, path: str) -> NDArray[Any]:
    """Images in the type of numbers that a network takes; whole ones are rounded, halves to even. Raises ModelError where a number is
    too large for it."""
    if dtype == "float32":
        return images
    if dtype in WHOLE_TYPES:
        return _whole(images, dtype, path)
    with np.errstate(over="ignore"):
        result: NDArray[Any] = images.astype(dtype)
    lost = np.isinf(result) & np.isfinite(images)
    if lost.any():
        raise ModelError(
            f"{path}: the model takes {dtype}, which cannot hold {images[lost][0]:g}",
            remedy="scale the pixels with value_scaling in the contract, or export the model in float32",
        )
    return result


def _whole(images: NDArray[np.float32], dtype: str, path: str) -> NDArray[Any]:
    limits, rounded = np.iinfo(dtype), np.rint(images)
    wrong = ~((rounded >= limits.min) & (rounded <= limits.max))
    if wrong.any():
        raise ModelError(
            f"{path}: the model takes {dtype}, which cannot hold {images[wrong][0]:g}",
            remedy="scale and clip the pixels with value_scaling in the contract",
        )
    result: NDArray[Any] = rounded.astype(dtype)
    return result


def cause(error: Exception) -> str:
    """What went wrong in a network, from the message of a library: on one line, without places in the library's own source and
    without traces; of TorchScript's traceback the last line. At most 500 characters."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if any("Traceback of TorchScript" in line for line in lines):
        lines = [line for line in lines if _RAISED.match(line)][-1:] or lines[-1:]
    text = _TRACE.split(" ".join(lines))[0]
    text = _OPENVINO.sub("", text)
    text = _SIGNATURE.sub("", _SOURCE.sub("", _PREFIX.sub("", text))).strip()
    return text[:500] or type(error).__name__


def out_of_memory(error: Exception) -> bool:
    """Whether a runtime other than torch has no memory, from its message."""
    return any(words in str(error) for words in ("bad_alloc", "Failed to allocate memory", "Cannot allocate memory"))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most 300 characters; its type when it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
