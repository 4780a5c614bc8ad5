"""Read a torch.export archive (.pt2) as a Program: its graph from JSON, its weights from their bytes.

Nothing is unpickled or evaluated, and torch.export.load is never called: it does both with whatever is in the archive. What is not read
here is refused by name. docs/decisions/0015 has the time that this saves, 0017 the reasons.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swath.errors import ModelError
from swath.models.declaration import Declaration, choose_output
from swath.models.exported_graph import (
    STRIDED,
    TYPES,
    ForbiddenOperator,
    TrainingMode,
    Unsupported,
    check_operators,
    read_block,
)
from swath.models.exported_program import OperatorBlock, Program
from swath.models.exported_sizes import AxisRange, UnknownSize, axis_range, guard
from swath.models.safety.archive import (
    CODE,
    OLD_TORCH_EXPORT,
    REMEDY,
    SAVED_TENSORS,
    TORCH_EXPORT,
    ModelArchive,
    write_archive,
)
from swath.models.safety.tensor_pickle import check_extent, check_saved_tensors
from swath.models.safety.training_mode import EVAL_REMEDY, RANDOM, training_error

if TYPE_CHECKING:
    import torch

SCHEMA = 8
"""Major version of the archive's schema that is read here."""
_OLD_DOCUMENT = "serialized_exported_program.json"
_PAYLOAD = re.compile(r"(weight|tensor)_\d+")
Tensors = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class _Payload:
    """A tensor of an archive: which entry holds its data, and how it lies there."""

    entry: str
    dtype: str
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class _Contents:
    """What an archive holds. Tensors are payloads by name, or the name of an entry that torch.save wrote."""

    document: dict[str, Any]
    weights: dict[str, _Payload] | str
    constants: dict[str, _Payload] | str


@dataclass(frozen=True)
class _Signature:
    """What a network takes and gives, by names in its graph."""

    image: str
    weights: dict[str, str]
    """Names of parameters and buffers in the module."""
    constants: dict[str, str]
    mutated: dict[str, str]
    """The new value of a buffer or of the images."""
    axes: tuple[AxisRange, ...]
    guards: tuple[Any, ...]
    dtype: str
    """Of the images."""
    outputs: dict[str, str]
    """What the network gives, by keys of its dictionary or by positions."""


def check_archive(path: str) -> None:
    """Raise ModelError for an archive that read_program would refuse for what it holds. Imports no torch; reads no weights."""
    with ModelArchive(path, path) as archive, _named_errors(path):
        document = _contents(archive).document
        _signature(document)
        check_operators(document["graph_module"]["graph"])


def read_declaration(path: str) -> Declaration:
    """What the network of an archive takes and gives. Raises ModelError. Imports no torch; reads no weights."""
    with ModelArchive(path, path) as archive, _named_errors(path):
        document = _contents(archive).document
        found = _signature(document)
        about = document["graph_module"]["graph"]["tensor_values"]
        shapes = tuple(_shape(about[tensor]["sizes"]) for tensor in found.outputs.values())
        types = tuple(TYPES[about[tensor]["dtype"]][0] for tensor in found.outputs.values())
        axes = tuple(int(axis.minimum) if axis.minimum == axis.maximum else None for axis in found.axes)
        return Declaration((found.image,), found.dtype, axes, tuple(found.outputs), shapes, types)


def _shape(sizes: list[dict[str, Any]]) -> tuple[int | None, ...]:
    return tuple(int(size["as_int"]) if "as_int" in size else None for size in sizes)


def read_program(path: str, output: str = "") -> Program:
    """The network of an archive; of several outputs the one of this name. Raises ModelError, which names what is not read or not
    allowed."""
    with ModelArchive(path, path) as archive, _named_errors(path):
        contents = _contents(archive)
        signature = _signature(contents.document)
        result = signature.outputs[choose_output(path, tuple(signature.outputs), output)]
        weights, constants = _tensors(archive, contents.weights), _tensors(archive, contents.constants)
        tensors = {name: weights[key] for name, key in signature.weights.items()}
        tensors |= {name: constants[key] for name, key in signature.constants.items()}
        block = _block(contents, signature, result)
        return Program(
            block, tensors, signature.image, signature.axes, signature.guards, mutated=tuple(signature.mutated),
            dtype=signature.dtype,
        )  # fmt: skip


def read_graph(path: str) -> OperatorBlock:
    """The operator calls of an archive, without its weights. Raises ModelError as read_program does."""
    with ModelArchive(path, path) as archive, _named_errors(path):
        contents = _contents(archive)
        signature = _signature(contents.document)
        return _block(contents, signature, next(iter(signature.outputs.values())))


def read_weights(path: str) -> Tensors:
    """Parameters and buffers of an archive by their names in the module. Raises ModelError."""
    with ModelArchive(path, path) as archive, _named_errors(path):
        return _tensors(archive, _contents(archive).weights)


@contextlib.contextmanager
def _named_errors(path: str) -> Iterator[None]:
    """What reading raises as a ModelError that names the file."""
    try:
        yield
    except ForbiddenOperator as error:
        draws = str(error).removeprefix("torch.ops.aten.").partition(".")[0] in RANDOM
        plain = "write the network with torch's own operators on tensors, or load its weights with a factory"
        raise ModelError(
            f"{path}: calls the operator {str(error)[:200]}, which is not allowed in a model",
            remedy=EVAL_REMEDY if draws else plain,
        ) from None
    except TrainingMode as error:
        raise training_error(path, str(error)) from None
    except (Unsupported, UnknownSize) as error:
        raise ModelError(
            f"{path}: the network {error}", remedy="export it again, with one tensor of images in and one tensor out"
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        what = f"{type(error).__name__}: {str(error)[:200]}"
        raise ModelError(f"{path}: not a torch.export archive that swath reads: {what}") from error


def _contents(archive: ModelArchive) -> _Contents:
    if _OLD_DOCUMENT in archive:  # torch 2.7 and before
        archive.check(OLD_TORCH_EXPORT)
        inputs, weights, constants = (f"serialized_{kind}.pt" for kind in ("example_inputs", "state_dict", "constants"))
        found = _Contents(_document(archive, _OLD_DOCUMENT), weights, constants)
        saved = [inputs, weights, constants]
    else:
        archive.check(TORCH_EXPORT)
        models = [name for name in archive.names if name.startswith("models/")]
        if len(models) != 1:
            raise ModelError(f"{archive.path}: holds {len(models)} exported programs instead of one")
        if "byteorder" in archive and archive.read("byteorder") != b"little":
            raise ModelError(f"{archive.path}: was written on a machine of another byte order")
        model = models[0].removeprefix("models/").removesuffix(".json")
        document = _document(archive, models[0])
        found = _Contents(document, *(_payloads(archive, kind, model) for kind in ("weights", "constants")))
        saved = [name for name in archive.names if name.endswith(".pt")]
    for name in saved:  # examples of inputs are never read, but who puts more than tensors there is not to be trusted
        _check_saved(archive, name)
    return found


def _block(contents: _Contents, signature: _Signature, result: str) -> OperatorBlock:
    inputs = (signature.image, *signature.weights, *signature.constants)
    outputs = (result, *signature.mutated.values())
    check_operators(contents.document["graph_module"]["graph"])
    return read_block(contents.document["graph_module"]["graph"], inputs, outputs)


def _document(archive: ModelArchive, name: str) -> dict[str, Any]:
    document: dict[str, Any] = archive.json(name)
    major = document["schema_version"]["major"]
    if major != SCHEMA:
        raise ModelError(
            f"{archive.path}: the schema of torch.export is {str(major)[:20]} here, and swath reads {SCHEMA}",
            remedy="export the network again with the torch that is installed",
        )
    return document


def _payloads(archive: ModelArchive, kind: str, model: str) -> dict[str, _Payload] | str:
    whole = f"data/{kind}/{model}.pt"
    if whole in archive:  # torch 2.8
        return whole
    found: dict[str, _Payload] = {}
    for name, entry in archive.json(f"data/{kind}/{model}_{kind}_config.json")["config"].items():
        if entry["use_pickle"] or not _PAYLOAD.fullmatch(entry["path_name"]):
            raise ModelError(f"{archive.path}: {CODE}: {name} is no plain tensor: {entry['path_name']}", remedy=REMEDY)
        meta = entry["tensor_meta"]
        if meta["layout"] != STRIDED or meta["dtype"] not in TYPES:
            raise ModelError(f"{archive.path}: {name} is a sparse or quantized tensor, which swath does not run")
        dtype, item_bytes = TYPES[meta["dtype"]]
        sizes, strides = (tuple(int(each["as_int"]) for each in meta[key]) for key in ("sizes", "strides"))
        payload = _Payload(
            f"data/{kind}/{entry['path_name']}", dtype, sizes, strides, int(meta["storage_offset"]["as_int"])
        )
        stored = archive.size(payload.entry)
        if stored % item_bytes:
            raise ModelError(f"{archive.path}: {payload.entry} is damaged: {stored} bytes of {dtype}")
        try:
            check_extent(sizes, strides, payload.offset, stored // item_bytes)
        except ValueError as error:
            raise ModelError(f"{archive.path}: {name} does not lie within its data: {error}") from None
        found[name] = payload
    return found


def _signature(document: dict[str, Any]) -> _Signature:
    module = document["graph_module"]
    graph, signature = module["graph"], module["signature"]
    weights: dict[str, str] = {}
    constants: dict[str, str] = {}
    images: list[str] = []
    for spec in signature["input_specs"]:
        ((kind, entry),) = spec.items()
        match kind:
            case "user_input":
                ((form, given),) = entry["arg"].items()
                if form != "as_tensor":
                    raise Unsupported(f"takes an input that is no tensor: {form.removeprefix('as_')}")
                images.append(given["name"])
            case "parameter":
                weights[entry["arg"]["name"]] = entry["parameter_name"]
            case "buffer":
                (weights if entry["persistent"] else constants)[entry["arg"]["name"]] = entry["buffer_name"]
            case "tensor_constant":
                constants[entry["arg"]["name"]] = entry["tensor_constant_name"]
            case "constant_input":
                continue  # its value is in the graph
            case _:
                raise Unsupported(f"takes an input of the kind {kind!r}")
    if len(images) != 1:
        raise Unsupported(f"takes {len(images)} tensors")
    image = images[0]
    names = {key: name for name, key in (weights | constants).items()}
    results, mutated = _outputs(signature["output_specs"], names, image)
    keys = _keys(module["module_call_graph"][0])
    outputs = tuple(keys) if len(keys) == len(results) else tuple(map(str, range(len(results))))
    tensors = {key: result for key, result in zip(outputs, results, strict=True) if result}
    if not tensors:
        raise Unsupported("gives no tensor")
    about = graph["tensor_values"][image]
    axes = tuple(axis_range(size, document["range_constraints"]) for size in about["sizes"])
    guards = tuple(guard(text, image) for text in document.get("guards_code") or ())
    dtype = TYPES[about["dtype"]][0]
    return _Signature(image, weights, constants, mutated, axes, guards, dtype, tensors)


def _outputs(specs: list[dict[str, Any]], names: dict[str, str], image: str) -> tuple[list[str], dict[str, str]]:
    """The names of what the network gives, empty for what is no tensor, and names of new values by the tensor that takes them."""
    results: list[str] = []
    mutated: dict[str, str] = {}
    for spec in specs:
        ((kind, entry),) = spec.items()
        match kind:
            case "user_output":
                ((form, given),) = entry["arg"].items()
                results.append(given["name"] if form == "as_tensor" else "")
            case "buffer_mutation":
                mutated[names[entry["buffer_name"]]] = entry["arg"]["name"]
            case "user_input_mutation":
                mutated[image] = entry["arg"]["name"]
            case _:
                raise Unsupported(f"has an output of the kind {kind!r}")
    return results, mutated


def _keys(call: dict[str, Any]) -> list[str]:
    """Keys of the dictionary that the network gives, if it gives one."""
    spec = json.loads(call["signature"]["out_spec"])[1]
    keys = json.loads(spec["context"]) if spec["type"] == "builtins.dict" else []
    return [str(key)[:50] for key in keys]


def _tensors(archive: ModelArchive, payloads: dict[str, _Payload] | str) -> Tensors:
    import torch

    if isinstance(payloads, str):
        return _saved_tensors(archive, payloads)
    storages: dict[tuple[str, str], torch.Tensor] = {}
    tensors: Tensors = {}
    for name, payload in payloads.items():
        key = (payload.entry, payload.dtype)
        if key not in storages:
            data, dtype = bytearray(archive.read(payload.entry)), getattr(torch, payload.dtype)
            # A copy begins at a multiple of 64 bytes, as all of torch's own tensors do.
            storages[key] = torch.frombuffer(data, dtype=dtype).clone() if data else torch.empty(0, dtype=dtype)
        tensors[name] = storages[key].as_strided(payload.sizes, payload.strides, payload.offset)
    return tensors


def _check_saved(archive: ModelArchive, name: str) -> bytes:
    """An entry that torch.save wrote, as an archive of its own. Raises ModelError when it holds more than tensors."""
    data = archive.read(name)
    if not data:
        return data
    with ModelArchive(data, f"{archive.path}: {name}") as saved:
        saved.check(SAVED_TENSORS)
        check_saved_tensors(saved)
        return write_archive("archive", ((each, saved.read(each)) for each in saved.names))


def _saved_tensors(archive: ModelArchive, name: str) -> Tensors:
    import torch

    data = _check_saved(archive, name)
    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True) if data else {}
    if not isinstance(found, dict) or not all(isinstance(each, torch.Tensor) for each in found.values()):
        raise ModelError(f"{archive.path}: {name} holds more than tensors", remedy=REMEDY)
    return {str(key): tensor.detach() for key, tensor in found.items()}
