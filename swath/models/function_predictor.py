"""FunctionPredictor: a function of the project as a model, which is called with a block of pixels and gives an array.

The function gets (bands, height, width) in float32, scaled by the contract, 0 where invalid, and a copy of its own. It gives class
numbers or one band of values as (height, width), channels as (channels, height, width).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swath.errors import ModelError, SwathError
from swath.models.network_axes import PLAIN, NetworkAxes
from swath.models.predictor import ImagesRefused, Predictor, first_line
from swath.models.project_function import project_function


class FunctionPredictor:
    """A function of the project."""

    def __init__(self, function: Callable[..., Any], name: str, file: str = "", axes: NetworkAxes = PLAIN) -> None:
        """`file` is the second argument, where it is not empty: what the function reads, on this machine."""
        self._function = function
        self._given = (file,) if file else ()
        self._axes = axes
        self.path = name

    @classmethod
    def open(cls, named: str, code: str, file: str = "", axes: NetworkAxes = PLAIN) -> FunctionPredictor:
        """The function `module:function` of the module whose digest is `code`. Raises ModelError."""
        return cls(project_function(named, "predictor", code), named, file, axes)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([self._one(image) for image in images])

    def _one(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        block = np.array(self._axes.given(image[None])[0], np.float32, order="C")
        shape = block.shape
        try:
            given = _plain(self._function(block, *self._given))
        except (SwathError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"{self.path}: raised {type(error).__name__} for a block of shape {shape}: {first_line(error)}{_place(error)}"
            ) from error
        if given.dtype.kind not in "fiub":
            raise ModelError(f"{self.path}: gave an array of {given.dtype}, not of numbers")
        output = given
        if given.ndim == 2 and self._axes.channels != "none":
            output = given[..., None] if self._axes.channels == "last" else given[None]
        elif given.ndim == 3 and len(given) == 1 and self._axes.channels == "none":
            output = given[0]
        arranged = self._axes.arranged(output.astype(np.float32, copy=False)[None], self.path)
        if arranged.ndim != 4 or arranged.shape[2:] != image.shape[1:]:
            raise ImagesRefused(
                f"{self.path}: a block of shape {shape} became an array of shape {given.shape}",
                remedy="give (height, width), or (channels, height, width), with the height and width of the block",
            )
        result: NDArray[np.float32] = arranged[0]
        return result


def _plain(given: Any) -> NDArray[Any]:
    """What a function gave, as an array; NaN where its mask says that there is nothing."""
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind in "fiub":
        filled: NDArray[np.float32] = np.ma.filled(given.astype(np.float32), np.nan)
        return filled
    return np.asarray(given)


def _place(error: BaseException) -> str:
    """Where the project's code raised it: the last line of the function's module or of what it calls."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _conforms(predictor: FunctionPredictor) -> Predictor:
    return predictor
