"""Program: a network of torch.export as a list of operator calls, run without torch's exporter and compiler.

The same operators are called in the same order with the same tensors as torch.export.load would, so results are the same to the
last bit. exported_archive.py reads it from a .pt2 file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DEVICE = ""
"""Key of the device among the values of a program."""
GUARD_FUNCTIONS = {"max": max, "min": min}
"""What guards may call."""

Value = Callable[[dict[str, Any]], Any]
"""An argument of an operator: takes the tensors and sizes by name."""


@dataclass(frozen=True)
class OperatorCall:
    """One call of an operator."""

    call: Callable[..., Any]
    args: tuple[Value, ...]
    kwargs: dict[str, Value]
    results: tuple[str, ...]
    """Names of its results."""
    several: bool
    """Whether the operator gives a sequence of results."""
    released: tuple[str, ...]
    """Names that no later call needs: their memory is freed."""


@dataclass(frozen=True)
class AxisRange:
    """Which lengths the network takes along one axis of the images."""

    name: str | None
    """Axes of one name have one length."""
    minimum: float
    maximum: float

    def check(self, axis: int, length: int, lengths: dict[str, int]) -> None:
        """Raise ValueError for another length. `lengths` has those of the axes so far, by name."""
        in_range = self.minimum <= length <= self.maximum
        if not in_range or (self.name and lengths.setdefault(self.name, length) != length):
            raise ValueError(
                f"axis {axis} of images was exported for {self.minimum:g} to {self.maximum:g}, not for {length}"
            )


@dataclass(frozen=True)
class Program:
    """A network as a list of calls. Takes one tensor of images and gives one tensor."""

    steps: tuple[OperatorCall, ...]
    tensors: dict[str, torch.Tensor]
    """Weights, by their names in the graph."""
    image: str
    """Name of the images in the graph."""
    result: str
    """Name of what it gives."""
    axes: tuple[AxisRange, ...]
    guards: tuple[Any, ...]
    """Compiled conditions on the lengths of the axes, named axis_0 and so on."""
    device: str = "cpu"

    def to(self, device: str) -> Program:
        """The same network on another device."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, tensors=moved, device=device)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Raises ValueError for images of a size that the network was not exported for, and what operators raise."""
        if images.ndim != len(self.axes):
            raise ValueError(f"images have {images.ndim} axes; the network takes {len(self.axes)}")
        by_name: dict[str, int] = {}
        for axis, (accepted, length) in enumerate(zip(self.axes, images.shape, strict=True)):
            accepted.check(axis, length, by_name)
        lengths = {f"axis_{axis}": length for axis, length in enumerate(images.shape)}
        builtins = {"__builtins__": GUARD_FUNCTIONS}
        if not all(eval(guard, builtins, lengths) for guard in self.guards):  # noqa: S307 -- see exported_archive._guard
            raise ValueError(f"the network was not exported for images of {tuple(images.shape)}")
        values: dict[str, Any] = {**self.tensors, self.image: images, DEVICE: self.device}
        del images
        for step in self.steps:
            args = [value(values) for value in step.args]
            result = step.call(*args, **{name: value(values) for name, value in step.kwargs.items()})
            del args
            if step.results:  # the exporter's assertions give none
                values.update(zip(step.results, result if step.several else (result,), strict=True))
            del result
            for name in step.released:
                del values[name]
        output: torch.Tensor = values[self.result]
        return output
