"""A model's contract: which bands it takes, how they are scaled, what its output means. Fields follow STAC MLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ModelClass:
    """One class of a segmentation model."""

    value: int
    """The value in the map, 0..254."""
    name: str
    color: tuple[int, int, int]
    """RGB, 0..255."""


@dataclass(frozen=True)
class Contract:
    """What a model takes and gives."""

    name: str
    bands: tuple[str, ...]
    """Names of the input bands in order; STAC common names where there are such."""
    output: Literal["classes", "values"]
    """`classes`: one channel per class (the largest wins), or one probability channel with `threshold`. `values`: numbers."""
    classes: tuple[ModelClass, ...] = ()
    units: Literal["reflectance", "dn"] = "dn"
    """Whether the model takes physical values (number * scale + offset) or the files' numbers."""
    scaling: tuple[dict[str, Any], ...] = ()
    """MLM value_scaling objects, one for all bands or one per band; applied after units."""
    threshold: float | None = None
    """For one probability channel: at or above it the pixel is the second class."""
    dtype: str = "uint8"
    """Data type of the map."""
    nodata: float = 255
    """Value of pixels without a prediction; NaN for float maps."""
    resolution_m: float | None = None
    """Ground sampling distance that the model was trained for, in metres."""
    mlm: dict[str, Any] | None = None
    """The contract as it stands in the file, for the STAC item of the map."""


@dataclass(frozen=True)
class ModelInfo:
    """A model that was looked at: what every call needs to know of it. Does not hold the weights."""

    path: str
    """Absolute path of the weights."""
    format: Literal["pt2", "torchscript", "onnx", "safetensors"]
    sha256: str
    """Of the weights file."""
    contract: Contract
    factory: str | None
    radius: int
    """Measured receptive radius R in pixels; for models without a bound, the halo that is used instead."""
    stride: int
    """Measured total stride S in pixels: input sizes are multiples of it."""
    exact: bool
    """Whether tiles with a halo >= R on origins that are multiples of S equal a whole-image pass."""
    reason: str = ""
    """Why it is not exact."""
