"""TorchScript from an unknown author: an archive with no code that runs when it is loaded, and a graph of allowed operators.

torch.jit.load runs a class's `__setstate__`, makes compiled classes (files, connections), and calls of any operator stand in the
code. So the archive is looked through, written anew from the entries that passed, loaded, and its graph is looked through.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swath.errors import ModelError
from swath.models.safety.archive import CODE, TORCHSCRIPT, ModelArchive, write_archive
from swath.models.safety.operators import SCRIPT_NAMES
from swath.models.safety.tensor_pickle import check_extent, check_script_pickle
from swath.models.safety.training_mode import VARIABLE, training_error, training_fault

if TYPE_CHECKING:
    import torch

PLAIN_REMEDY = "export the network with torch.export.save to a .pt2 file, or save its weights as .safetensors"
_LOADED = re.compile(r"(\.data/)?version|byteorder|(data|constants)\.pkl|(data|constants)/\w+|code/.*\.py")
_FORBIDDEN = ("__setstate__", "torch.classes", "PythonOp")
"""What would run when the code is loaded, or is no TorchScript. Its code has no other spelling for these words."""
_WITH_OUT = ("aten::div",)
"""What torch.nn.functional calls with out= (normalize): the branch is in the code of every scripted network that uses it."""


def checked_script(path: str) -> bytes:
    """An archive for torch.jit.load, of those entries of a TorchScript file that passed. Raises ModelError."""
    with _open(path) as archive:
        _check_entries(archive)
        return write_archive("model", ((name, archive.read(name)) for name in archive.names if _LOADED.fullmatch(name)))


def check_script_archive(path: str) -> None:
    """Raise ModelError for a TorchScript file that holds what it may not. Imports no torch; its operators are not looked at."""
    with _open(path) as archive:
        _check_entries(archive)


def check_script(module: torch.nn.Module, path: str) -> None:
    """Raise ModelError for a loaded module whose graph calls an operator that is not allowed, or holds tensors that do not lie
    within their data."""
    import torch

    for each in module.modules():
        methods: Any = each._c
        for name in methods._method_names():
            graph = methods._get_method(name).inlined_graph
            for node in _nodes(graph):
                _check_node(node, path)
            if name == "forward":
                _check_training(graph, path)
        for hook in (*methods._get_forward_hooks(), *methods._get_forward_pre_hooks()):
            for node in _nodes(hook.inlined_graph):
                _check_node(node, path)
    for name, tensor in module.state_dict().items():
        if not isinstance(tensor, torch.Tensor):
            raise ModelError(f"{path}: {name} is no tensor: {type(tensor).__name__}")
        _check_tensor(tensor, name, path)


def _open(path: str) -> ModelArchive:
    try:
        if not zipfile.is_zipfile(path):
            raise _pickled(path)
    except zipfile.BadZipFile:  # reported by ModelArchive
        pass
    return ModelArchive(path, path)


def _pickled(path: str) -> ModelError:
    return ModelError(
        f"{path}: not TorchScript; it looks like a pickled checkpoint, which runs code when it is opened",
        remedy=PLAIN_REMEDY,
    )


def _check_entries(archive: ModelArchive) -> None:
    if "constants.pkl" not in archive or not archive.folder:
        raise _pickled(archive.path)
    archive.check(TORCHSCRIPT)
    for name in archive.names:
        if name.startswith("code/") and name.endswith(".py"):
            _check_code(archive, name)
    for name in ("data.pkl", "constants.pkl"):
        check_script_pickle(archive, name)


def _check_code(archive: ModelArchive, name: str) -> None:
    text = archive.text(name)
    for word in _FORBIDDEN:
        if word in re.sub(r"[\s\\]", "", text):
            raise ModelError(f"{archive.path}: {CODE}: {name} has {word}", remedy=PLAIN_REMEDY)


def _nodes(block: Any) -> Iterator[Any]:
    """All nodes of a graph and of the blocks within it."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _check_node(node: Any, path: str) -> None:
    kind = node.kind()
    if kind not in SCRIPT_NAMES:
        where = str(node.sourceRange()).strip().partition("\n")[0]
        raise ModelError(
            f"{path}: calls the operator {kind}, which is not allowed in a model{f': {where}' if where else ''}",
            remedy=PLAIN_REMEDY,
        )
    if (
        kind not in _WITH_OUT and "!" in node.schema().partition("->")[0].partition("*,")[2]
    ):  # keyword-only and written to
        raise ModelError(f"{path}: calls {kind} with out=, which is not allowed in a model", remedy=PLAIN_REMEDY)
    if kind == "prim::Constant" and node.hasAttribute("value") and node.kindOf("value") == "t":
        _check_tensor(node.t("value"), "a constant", path)


def _check_training(graph: Any, path: str) -> None:
    """Raise ModelError for a graph that always calls an operator as in training, whatever mode its module is in.

    Branches do not count: scripted networks have those of training in them.
    """
    for node in _unconditional(graph):
        operator = node.kind().removeprefix("aten::")
        if operator != node.kind() and (fault := training_fault(operator, _constants(node))):
            raise training_error(path, fault)


def _unconditional(block: Any) -> Iterator[Any]:
    """Nodes of a graph that run in each call, with those of the branch that a constant chooses."""
    for node in block.nodes():
        yield node
        condition = node.input().node() if node.kind() == "prim::If" else None
        if condition is not None and condition.kind() == "prim::Constant":
            yield from _unconditional(list(node.blocks())[0 if node.input().toIValue() else 1])


def _constants(node: Any) -> dict[str, Any]:
    """Arguments by name; VARIABLE for those that are no constants. A tensor that may be None counts as None."""
    import torch

    schema = torch._C.parse_schema(node.schema())
    found: dict[str, Any] = {}
    for argument, value in zip(schema.arguments, node.inputs(), strict=False):
        if value.node().kind() == "prim::Constant" and not isinstance(value.type(), torch.TensorType):
            found[argument.name] = value.toIValue()
        else:
            found[argument.name] = None if value.type().kind() in ("NoneType", "OptionalType") else VARIABLE
    return found


def _check_tensor(tensor: torch.Tensor, name: str, path: str) -> None:
    if tensor.is_quantized or tensor.is_sparse or tensor.layout.__str__() != "torch.strided":
        raise ModelError(f"{path}: {name} is a sparse or quantized tensor, which swath does not run")
    items = tensor.untyped_storage().nbytes() // tensor.element_size()
    try:
        check_extent(tensor.shape, tensor.stride(), int(tensor.storage_offset()), items)
    except ValueError as error:
        raise ModelError(f"{path}: {name} does not lie within its data: {error}") from None
