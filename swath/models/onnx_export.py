"""A network of a torch format as ONNX, for the runtimes that read it. Called in a process without rights: see conversion.py.

Height and width stay dynamic, as multiples of the network's stride, but for a network that takes one size only. What cannot be
converted raises ModelError, and stays on torch.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from swath.errors import ModelError
from swath.models.contract import Format
from swath.models.conversion import IMAGES, OUTPUT
from swath.models.exported_archive import read_program
from swath.models.exported_program import DEVICE, Program
from swath.models.global_layers import TorchNetwork
from swath.models.predictor import first_line
from swath.models.torch_files import load_checkpoint, load_safetensors

if TYPE_CHECKING:
    import torch

_STRIDES = 12
"""Height of the example in strides; it is not computed with."""


def prepare() -> None:
    """Convert a network of our own, so that torch imports all that it converts with, and computes on one thread from then on."""
    import torch

    torch.set_num_threads(1)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.MaxPool2d(2), torch.nn.Upsample(scale_factor=2))
    _converted(network.eval(), 1, 2, 2)


def export_onnx(
    path: str, form: Format, factory: str, code: str, output: str, bands: int, stride: int, smallest: int, size: int
) -> bytes:
    """The file's network as the bytes of an ONNX model with the same weights. `factory`, `code` and `output` as in Weights ("" for
    none), `stride`, `smallest` and `size` as in ModelInfo. Raises ModelError."""
    network: TorchNetwork
    match form:
        case "pt2":
            network = read_program(path, output)
        case "safetensors":
            network = load_safetensors(path, factory or None, code)
        case "checkpoint":
            network = load_checkpoint(path, factory or None, code)
        case _:
            raise ModelError(f"{path}: {form} files are not converted")
    if isinstance(network, Program) and network.mutated:
        raise ModelError(f"{path}: a network whose buffers change is not converted")
    try:
        return _converted(network, bands, stride, smallest, size)
    except MemoryError:
        raise
    except Exception as error:
        raise ModelError(f"{path}: torch does not convert it to ONNX: {first_line(error)}") from error


def _converted(network: TorchNetwork, bands: int, stride: int, smallest: int, size: int = 0) -> bytes:
    import torch

    module, dtype, batch = _as_module(network)
    count = max(2, -(-smallest // stride))
    height, width = (torch.export.Dim(name, min=count) for name in ("rows", "columns"))
    shapes: dict[int, Any] = {axis: stride * dim if stride > 1 else dim for axis, dim in ((2, height), (3, width))}
    edge = stride * max(_STRIDES, count + 1)
    sides = (edge, edge + 4 * stride)
    if size:
        shapes, batch, sides = {}, 1, (size, size)
    if batch is None:
        shapes[0] = torch.export.Dim("batch", min=1)
    example = torch.zeros(batch or 2, bands, *sides, dtype=dtype)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (example,), dynamic_shapes=(shapes,))
        exported = torch.onnx.export(
            program, dynamo=True, input_names=[IMAGES], output_names=[OUTPUT], dynamic_shapes=(shapes,), verbose=False
        )
    assert exported is not None
    model = exported.model_proto
    model.ClearField("metadata_props")
    _strip(model.graph)
    for function in model.functions:
        _strip(function)
    serialized: bytes = model.SerializeToString()
    return serialized


def _as_module(network: TorchNetwork) -> tuple[torch.nn.Module, torch.dtype, int | None]:
    """The network as a module, the type of numbers that it takes, and how many images it takes at a time; None for any number."""
    import torch

    if not isinstance(network, Program):
        types = {each.dtype for each in network.parameters() if each.is_floating_point()}
        return network, types.pop() if len(types) == 1 else torch.float32, None
    first = network.axes[0]
    fixed = int(first.maximum) if first.minimum == first.maximum else None
    return _program_module(network), getattr(torch, network.dtype), fixed


def _program_module(program: Program) -> torch.nn.Module:
    """A program's calls as the forward pass of a module, whose buffers are its tensors."""
    import torch

    class ProgramModule(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for number, tensor in enumerate(program.tensors.values()):
                self.register_buffer(f"tensor_{number}", tensor)

        def forward(self, images: torch.Tensor) -> Any:
            values: dict[str, Any] = {
                name: getattr(self, f"tensor_{number}") for number, name in enumerate(program.tensors)
            }
            return program.block.run({**values, program.image: images, DEVICE: program.device})[0]

    return ProgramModule().eval()


def _strip(graph: Any) -> None:
    """Remove what is not computed with: places in source files, names of modules."""
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")
    parts = [*graph.node, *graph.value_info]
    for field in ("input", "output", "initializer"):
        parts += [each for each in getattr(graph, field) if not isinstance(each, str)]
    for each in parts:
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
                _strip(inner)
