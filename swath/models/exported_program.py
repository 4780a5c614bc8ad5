"""Program: a network of torch.export as a list of operator calls, run without torch's exporter and compiler.

The same operators are called in the same order with the same tensors as torch.export.load would, so results are the same to the
last bit. exported_archive.py reads it from a .pt2 file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swath.models.exported_sizes import GUARD_FUNCTIONS, AxisRange

if TYPE_CHECKING:
    import torch

DEVICE = ""
"""Key of the device among the values of a program."""

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
    blocks: tuple[OperatorBlock, ...] = ()
    """Graphs that the operator calls: branches, or a part with another precision."""


@dataclass(frozen=True)
class OperatorBlock:
    """Steps in their order. Names are the block's own."""

    inputs: tuple[str, ...]
    steps: tuple[OperatorCall, ...]
    outputs: tuple[str, ...]

    def run(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """What the steps make of `values`, which they change."""
        for step in self.steps:
            args = [value(values) for value in step.args]
            result = step.call(*args, **{name: value(values) for name, value in step.kwargs.items()})
            del args
            if step.results:  # the exporter's assertions give none
                values.update(zip(step.results, result if step.several else (result,), strict=True))
            del result
            for name in step.released:
                del values[name]
        return tuple(values[name] for name in self.outputs)

    def bound(self, device: str) -> Callable[..., tuple[Any, ...]]:
        """The block as a function of its inputs."""
        return lambda *given: self.run({**dict(zip(self.inputs, given, strict=True)), DEVICE: device})

    def calls(self) -> Iterator[Callable[..., Any]]:
        """All operators, those of inner blocks included."""
        for step in self.steps:
            yield step.call
            for block in step.blocks:
                yield from block.calls()


@dataclass(frozen=True)
class Program:
    """A network as a list of calls. Takes one tensor of images and gives one tensor."""

    block: OperatorBlock
    """Its first output is what the network gives; the others are new values of buffers."""
    tensors: dict[str, torch.Tensor]
    """Weights, by their names in the graph."""
    image: str
    """Name of the images in the graph."""
    axes: tuple[AxisRange, ...]
    guards: tuple[Any, ...]
    """Compiled conditions on the lengths of the axes, named axis_0 and so on."""
    mutated: tuple[str, ...] = ()
    """Names of the tensors that take the block's other outputs."""
    device: str = "cpu"
    dtype: str = "float32"
    """Type of the numbers that it takes."""

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
        if not all(eval(guard, builtins, lengths) for guard in self.guards):  # noqa: S307 -- see exported_sizes.guard
            raise ValueError(f"the network was not exported for images of {tuple(images.shape)}")
        values: dict[str, Any] = {**self.tensors, self.image: images, DEVICE: self.device}
        changed = {name: values[name] for name in self.mutated}
        del images
        output: torch.Tensor
        output, *others = self.block.run(values)
        for name, value in zip(self.mutated, others, strict=True):
            changed[name].copy_(value)
        return output
