"""Declaration: what a model file says of its input and outputs, compared with the contract before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swath.errors import ModelError
from swath.models.network_axes import PLAIN, WHOLE_TYPES, NetworkAxes

INPUT_TYPES = ("float32", "float16", "float64", "bfloat16", *WHOLE_TYPES)
"""Types of numbers that a network may take: pixels are float32, and are given as another of these where the file declares it."""
LEAST_SIZE = 8
"""Side in pixels of the smallest square images of one size that are worth a call of the network."""
SIZE_REMEDY = "export it with dynamic height and width, both multiples of the network's total stride, or for square images of one size"


@dataclass(frozen=True)
class Declaration:
    """The input and the outputs of a network, without running it."""

    inputs: tuple[str, ...]
    """Names."""
    dtype: str
    """Of the input; empty when it is not known."""
    shape: tuple[int | None, ...] | None
    """Of the input: None where a length varies; None as a whole when nothing is declared."""
    outputs: tuple[str, ...]
    """Names; positions where they have none."""
    output_shapes: tuple[tuple[int | None, ...] | None, ...] = ()
    """Of each output: None where a length varies, or none is declared."""
    output_types: tuple[str, ...] = ()
    """Of the numbers of each output."""

    def size(self, axes: NetworkAxes) -> int:
        """Height and width of the square images that are the only ones; 0 where others are taken."""
        if self.shape is None or len(self.shape) != 4:
            return 0
        height, width = self.shape[1:3] if axes.bands_last else self.shape[2:]
        return height if height is not None and height == width else 0

    def check(self, path: str, bands: int, output: str, channels: int | None = None, axes: NetworkAxes = PLAIN) -> None:
        """Raise ModelError for a model that cannot run on images (1, bands, height, width) of any size, or square ones of one
        size, whose output is not one that the contract names, or has another number of channels. `output` is the contract's name
        of it, `axes` how its arrays lie."""
        if len(self.inputs) != 1:
            raise ModelError(
                f"{path}: the model takes {len(self.inputs)} inputs ({_listed(self.inputs)}); swath runs models with one",
                remedy="export a network that takes one tensor of images and makes the others of it, or holds them",
            )
        if self.dtype and self.dtype not in INPUT_TYPES:
            raise ModelError(
                f"{path}: the model takes {self.dtype}; swath gives float32 (or {', '.join(INPUT_TYPES[1:])})",
                remedy="export it with a float32 input; a first layer that casts to another type may follow",
            )
        if self.shape is not None:
            self._check_shape(path, self.shape, bands, axes)
        chosen = choose_output(path, self.outputs, output)
        declared = axes.channels_of(dict(zip(self.outputs, self.output_shapes, strict=False)).get(chosen))
        if channels is not None and declared is not None and declared != channels:
            raise channels_error(path, declared, channels)

    def _check_shape(self, path: str, shape: tuple[int | None, ...], bands: int, axes: NetworkAxes) -> None:
        words = " x ".join("any" if length is None else str(length) for length in shape)
        if len(shape) != 4:
            raise ModelError(
                f"{path}: the model takes {words}, {len(shape)} axes; swath gives (1, bands, height, width)",
                remedy="export a network of one image: dates of a time series as bands, for example",
            )
        count, channels, height, width = shape if not axes.bands_last else (shape[0], shape[3], shape[1], shape[2])
        if width == bands != channels and bands > 1 and not axes.bands_last:
            raise ModelError(
                f"{path}: the model takes {words}: its bands are the last axis, and its contract says that they are the second",
                remedy="write batch, height, width, channel as dim_order of mlm:input.0.input, and shape in this order",
            )
        if channels not in (None, bands):
            raise ModelError(
                f"{path}: the model takes {channels} bands ({words}), but its contract names {bands}",
                remedy="correct mlm:input.0.bands in the contract, or take the file of that contract",
            )
        if count not in (None, 1):
            raise ModelError(
                f"{path}: the model takes batches of {count} images only ({words}); swath gives one at a time",
                remedy="export it with a dynamic batch, or with a batch of 1",
            )
        if height != width or (height is not None and height < LEAST_SIZE):
            raise ModelError(size_message(path, [(height, width)]), remedy=SIZE_REMEDY)


def size_message(path: str, sizes: Sequence[tuple[int | None, int | None]]) -> str:
    """The message for a model that takes images of these heights and widths only; None is any."""
    words = ", ".join(
        f"{'any height' if height is None else height} x {'any width' if width is None else width}"
        for height, width in sizes
    )
    return f"{path}: the model takes images of {words} pixels only"


def choose_output(path: str, names: Sequence[str], wanted: str) -> str:
    """The output to use of those that a model gives: the only one, or that of the contract's name. Raises ModelError."""
    if len(names) == 1:
        return names[0]
    if wanted in names:
        return wanted
    contract = f"its contract names {wanted!r}" if wanted else "its contract names none"
    raise ModelError(
        f"{path}: the model gives {len(names)} outputs ({_listed(names)}), and {contract}",
        remedy="set mlm:output.0.name in the contract to the one that is mapped, or export the network with one output",
    )


def channels_error(path: str, given: int, expected: int) -> ModelError:
    """The error of a model that gives another number of channels than its contract says."""
    remedy = "correct the contract's classes"
    if given == 1:
        remedy = (
            "one channel for two classes needs swath:threshold; for class numbers (argmax) write a type of whole numbers as data_type "
            "of mlm:output.0.result, and 1 as its channels"
        )
    return ModelError(f"{path}: the model gives {given} channels, but its contract says {expected}", remedy=remedy)


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join([*(name[:50] for name in names[:most]), *(["..."] if len(names) > most else [])])
