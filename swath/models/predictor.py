"""Predictor: the interface of a loaded network, and the errors that every implementation of it raises."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError


class Predictor(Protocol):
    """A loaded network."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images (N, bands, H, W), scaled, to (N, channels, H, W), in whatever order of memory the network leaves them.

        Images in channels-last memory are not copied, so the network may write into them.
        Raises ModelError when the network refuses the images or gives another height and width.
        """


def refused(path: str, images: NDArray[np.float32], error: Exception) -> ModelError:
    """The error of a network that raised `error` on these images."""
    shape = " x ".join(str(n) for n in images.shape)
    return ModelError(f"{path}: the model refuses images of {shape} (N, bands, height, width): {first_line(error)}")


def check_shape(path: str, images: NDArray[np.float32], output: NDArray[np.float32]) -> NDArray[np.float32]:
    """The output itself. Raises ModelError unless it is (N, channels, H, W) with the images' N, H and W."""
    if output.ndim != 4 or output.shape[0] != images.shape[0] or output.shape[2:] != images.shape[2:]:
        raise ModelError(
            f"{path}: images of shape {images.shape} became {output.shape}; swath needs both sizes kept",
            remedy="export a model that ends with its own upsampling and gives (N, channels, height, width)",
        )
    return output


def first_line(error: Exception) -> str:
    """The first line of an exception's message, at most 300 characters; its type when it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
