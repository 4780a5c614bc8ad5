"""Contract, weights and measured properties of a model, as frozen values. The contract's fields follow STAC MLM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from swath.models.lattice import Lattice
from swath.models.network_axes import PLAIN, NetworkAxes

Format = Literal["pt2", "torchscript", "onnx", "safetensors", "checkpoint", "function"]
"""Of weights; `function`: a function of the project, with or without a file that it reads."""
Precision = Literal["float32", "bfloat16", "float16"]
Runtime = Literal["torch", "onnxruntime", "openvino", "python"]
"""A library that runs networks; `python` calls functions of the project."""

UNBOUNDED = -1
"""Radius of a function of the project that looks at all of its block."""
DTYPE_RANGES = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "float32": (-3.4028234663852886e38, 3.4028234663852886e38),
}
"""Data types that a map can have, with their smallest and largest numbers."""


def native_runtime(form: Format) -> Runtime:
    """The library that runs a file of this format as it is."""
    if form == "function":
        return "python"
    return "onnxruntime" if form == "onnx" else "torch"


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
    """`classes`: one channel per class (the largest wins), or one probability channel with `threshold`.
    `values`: numbers."""
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
    channels: int | None = None
    """Channels that the model gives, where the contract says so; for `values` also the bands of the map."""
    output_name: str = ""
    """Which output of the network is mapped, where it gives several."""
    size: int = 0
    """Height and width of the square images that the contract says; 0 where it does not. They count for a network that does not take
    images of any size."""
    axes: NetworkAxes = PLAIN
    """How the arrays of the network lie."""
    values: tuple[str, ...] = ()
    """Names of the bands of a map of values; empty where the contract gives none."""

    @property
    def expected_channels(self) -> int | None:
        """Channels that the network must give; None where any number will do."""
        if self.output == "classes":
            return 1 if self.threshold is not None else len(self.classes)
        return self.channels


@dataclass(frozen=True)
class Weights:
    """The weights file of a model: everything that its receptive field depends on."""

    path: str
    """Absolute path, or a URL; of a `function` that reads no file, its name."""
    format: Format
    sha256: str
    """Of the weights file (and, for ONNX, of the files beside it that hold weights); of the code of a `function` without a file."""
    factory: str | None
    """`module:function` for safetensors and checkpoints; of a `function`, itself."""
    bands: int
    """Input bands, by the contract."""
    output: str = ""
    """Which output is used where the network gives several, by the contract."""
    code: str = ""
    """Digest of the code of `factory`, see swath.module_code."""
    channels: int | None = None
    """Output channels, by the contract; None where any number will do."""
    size: int = 0
    """Height and width of the square images that the file declares to be the only ones; 0 where it does not."""
    likely_size: int = 0
    """Height and width of the square images that the contract names; 0 for none."""
    axes: NetworkAxes = PLAIN
    """How the arrays of the network lie, by the contract."""
    radius: int = 0
    """How far a `function` looks, by the spec; see swath.models.function_reach."""


@dataclass(frozen=True)
class ReceptiveField:
    """Measured receptive field and total stride of a network."""

    radius: int
    """Receptive radius R in pixels; for models without a bound, the halo that is used instead."""
    stride: int
    """Total stride S in pixels."""
    exact: bool
    """Whether tiles with a halo >= R on origins that are multiples of S equal a whole-image pass."""
    reason: str = ""
    """Why it is not exact."""
    smallest: int = 1
    """Smallest height and width, found by doubling, that the model takes."""
    gives_probabilities: bool = False
    """Whether the outputs for test images are all within 0..1: the network ends in softmax or sigmoid."""
    size: int = 0
    """Height and width of the only images that the network takes; 0 where it takes all multiples of the stride."""


@dataclass(frozen=True)
class ModelInfo:
    """What every call needs to know of a model. Does not hold the weights."""

    path: str
    """Absolute path of the weights, or their URL."""
    format: Format
    sha256: str
    """See Weights."""
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
    smallest: int = 1
    """Smallest height and width that the model takes."""
    precision: Precision = "float32"
    """Of the network's arithmetic."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the network runs. Part of the key of every call, as the last bits of a map depend on it."""
    code: str = ""
    """See Weights."""
    gives_probabilities: bool = False
    """See ReceptiveField."""
    runtime: Runtime | None = None
    """The library that runs the network; the one of its format when not given. Part of the key of every call, as `device` is."""
    size: int = 0
    """See ReceptiveField."""

    @property
    def used_runtime(self) -> Runtime:
        """The library that runs the network."""
        return self.runtime or native_runtime(self.format)

    @property
    def is_plain(self) -> bool:
        """Whether the network computes in float32 and is run by the library of its format: what all else is compared with."""
        return self.precision == "float32" and self.used_runtime == native_runtime(self.format)

    @property
    def lattice(self) -> Lattice | None:
        """Lattice of the blended tiles of a model without a bounded receptive field; None for an exact one."""
        if self.size:
            return Lattice.of_size(self.size)
        return None if self.exact else Lattice.of(self.stride, self.smallest)

    @property
    def halo(self) -> int:
        """Halo in pixels that blocks need: the radius, and enough that a narrow block at the edge is no smaller than the model takes;
        for a model whose tiles are blended, the edge of a tile, so that every tile that counts for a pixel is complete."""
        if self.lattice is not None:
            return self.lattice.edge
        return max(self.radius, self.smallest if self.smallest > self.stride else 0)
