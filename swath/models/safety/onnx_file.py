"""ONNX from an unknown author: allowed operators only, and weights in other files only where these lie beside the model.

The graph is read from the file's own bytes, so neither onnx nor onnxruntime has to be there.
"""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swath.errors import ModelError
from swath.models.safety.onnx_message import OnnxValue, number, parts, scalar, text, value_info
from swath.models.safety.operators import ONNX_NAMES
from swath.models.safety.protobuf import DamagedMessage
from swath.models.safety.training_mode import EVAL_REMEDY, RANDOM, training_error

LOCATION = re.compile(r"(?!\.{1,2}$)[^/\\:\x00-\x1f\x7f]{1,255}")
"""A name of a file in the model's own folder."""
DEEPEST = 16
"""Graphs within graphs: branches and loops."""
OPERATOR_REMEDY = "export the network again with operators of ai.onnx only, or as .pt2 with torch.export.save"
LOCATION_REMEDY = "save the model with its weights inside, or in a file beside it: onnx.save(model, 'model.onnx')"


@dataclass(frozen=True)
class ExternalData:
    """A piece of another file that holds the numbers of a tensor."""

    location: str
    """The file's name, in the model's folder."""
    offset: int = 0
    length: int = 0
    """In bytes; 0 is to the end of the file."""


@dataclass
class OnnxGraph:
    """What a model declares, what it calls and which files it reads."""

    operators: set[tuple[str, str]] = field(default_factory=set)
    """(domain, operator)."""
    external: list[ExternalData] = field(default_factory=list)
    inputs: tuple[OnnxValue, ...] = ()
    """Without the constants that older files list among them."""
    outputs: tuple[OnnxValue, ...] = ()
    opset: int = 0
    """Version of ONNX's own operators; 0 when the file does not say."""
    faults: list[str] = field(default_factory=list)
    """What it does that is only done in training."""


def check_onnx(path: str) -> None:
    """Raise ModelError for a model that calls an operator that is not allowed, or one as in training, or reads a file that is not
    its own."""
    graph = read_onnx(path)
    if graph.faults:
        raise training_error(path, graph.faults[0])
    for domain, name in sorted(graph.operators):
        if name not in ONNX_NAMES.get(domain, ()):
            called = f"{domain}.{name}" if domain else name
            raise ModelError(
                f"{path}: calls the operator {called[:200]!r}, which is not allowed in a model",
                remedy=EVAL_REMEDY if name in RANDOM else OPERATOR_REMEDY,
            )
    folder = Path(path).parent.resolve()
    for data in graph.external:
        _check_external(path, folder, data)


def external_files(path: str) -> tuple[str, ...]:
    """Names of the files beside a model that hold weights of it. Raises ModelError when one is no plain name."""
    found = sorted({data.location for data in read_onnx(path).external})
    for location in found:
        _check_location(path, location)
    return tuple(found)


def weights_files(path: str) -> tuple[str, ...]:
    """The files that make up a model of any format: `path` and, of an ONNX model, those beside it with weights, where they are there.

    Of a damaged model only `path`: loading it reports the damage.
    """
    if Path(path).suffix.lower() != ".onnx":
        return (path,)
    beside = {f"{Path(path).name}.data"}
    with contextlib.suppress(ModelError):
        beside |= set(external_files(path))
    found = sorted(str(Path(path).with_name(name)) for name in beside)
    return (path, *(each for each in found if Path(each).is_file()))


def read_onnx(path: str) -> OnnxGraph:
    """What a model calls and reads. Raises ModelError for a file that is no ONNX model."""
    found = OnnxGraph()
    try:
        with Path(path).open("rb") as file:
            _model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), found)
    except (DamagedMessage, UnicodeDecodeError, ValueError) as error:
        raise ModelError(f"{path}: not an ONNX model: {error}") from None
    except OSError as error:
        raise ModelError(f"{path}: the weights cannot be read: {error.strerror or error}") from error
    if not found.operators:
        raise ModelError(f"{path}: not an ONNX model: it calls no operator")
    return found


def _check_external(path: str, folder: Path, data: ExternalData) -> None:
    _check_location(path, data.location)
    file = folder / data.location
    if file.resolve() != file or not file.is_file():
        what = "is a link" if file.is_symlink() else "is not there" if not file.exists() else "is no file"
        raise ModelError(f"{path}: its weights are in {data.location}, which {what}", remedy=LOCATION_REMEDY)
    size = file.stat().st_size
    if data.offset + data.length > size or (data.offset and data.offset >= size):
        raise ModelError(
            f"{path}: bytes {data.offset} to {data.offset + data.length} of {data.location} are asked for, which has {size}",
            remedy="copy that file again",
        )


def _check_location(path: str, location: str) -> None:
    if not LOCATION.fullmatch(location):
        raise ModelError(
            f"{path}: its weights are in {location[:200]!r}, which is not a file beside the model",
            remedy=LOCATION_REMEDY,
        )


# Numbers of fields are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto


def _model(message: memoryview, found: OnnxGraph) -> None:
    inner = parts(message, once=(7,), every=(8, 20, 25))
    if inner[20] or inner[25]:
        raise ValueError("it has functions of its own, or training information; inline them with onnx.inliner")
    for each in inner[8]:
        if text(parts(each, once=(1,))[1]) in ("", "ai.onnx"):
            found.opset = number(each, 2) or 0
    for graph in inner[7]:
        _graph(graph, found, 1, {})
        sides = parts(graph, every=(5, 11, 12))
        constants = {text(parts(each, once=(8,))[8]) for each in sides[5]}
        values = [value_info(each) for each in sides[11]]
        found.inputs = tuple(each for each in values if each.name not in constants)
        found.outputs = tuple(value_info(each) for each in sides[12])


def _graph(message: memoryview, found: OnnxGraph, depth: int, outer: Mapping[str, memoryview]) -> None:
    if depth > DEEPEST:
        raise ValueError(f"graphs are nested more than {DEEPEST} deep")
    inner = parts(message, every=(1, 5, 15))
    constants = {**outer, **{text(parts(each, once=(8,))[8]): each for each in inner[5]}}
    for node in inner[1]:
        _node(node, found, depth, constants)
    for tensor in inner[5]:
        _tensor(tensor, found)
    for sparse in inner[15]:
        _sparse(sparse, found)


def _node(message: memoryview, found: OnnxGraph, depth: int, constants: dict[str, memoryview]) -> None:
    """`constants` are the tensors so far by name; that of this node is added."""
    node = parts(message, once=(4, 7), every=(1, 2, 5))
    operator = text(node[4])
    found.operators.add((text(node[7]), operator))
    numbers: dict[str, int | None] = {}
    for attribute in node[5]:
        inner = parts(attribute, once=(1, 5, 6, 22), every=(10, 11, 23))
        name = text(inner[1])
        numbers[name] = number(attribute, 3)
        for graph in inner[6] + inner[11]:
            _graph(graph, found, depth + 1, constants)
        for tensor in inner[5] + inner[10]:
            _tensor(tensor, found)
        for sparse in inner[22] + inner[23]:
            _sparse(sparse, found)
        if operator == "Constant" and name == "value" and inner[5] and node[2]:
            constants[text(node[2])] = inner[5][0]
    inputs = [constants.get(text([each])) if each else None for each in node[1]]
    if operator == "Dropout" and len(node[1]) > 2 and node[1][2]:
        rate, mode = (scalar(each) if each is not None else None for each in inputs[1:3])
        if mode != 0 and rate != 0:
            found.faults.append("Dropout is active" if mode else "Dropout has a training_mode that is computed")
    if operator == "BatchNormalization" and (numbers.get("training_mode") or sum(map(bool, node[2])) > 1):
        found.faults.append("BatchNormalization uses each image's own statistics")


def _sparse(message: memoryview, found: OnnxGraph) -> None:
    inner = parts(message, once=(1, 2))
    for tensor in inner[1] + inner[2]:
        _tensor(tensor, found)


def _tensor(message: memoryview, found: OnnxGraph) -> None:
    inner = parts(message, every=(13,), numbers=(14,))
    if not inner[13] and not inner[14]:
        return
    entries: dict[str, str] = {}
    for pair in inner[13]:
        sides = parts(pair, once=(1, 2))
        if entries.setdefault(text(sides[1]), text(sides[2])) != text(sides[2]):
            raise ValueError("external data is described twice")
    offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
    if offset < 0 or length < 0:
        raise ValueError("external data of a negative length or offset")
    found.external.append(ExternalData(entries.get("location", ""), offset, length))
