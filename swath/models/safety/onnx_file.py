"""ONNX from an unknown author: allowed operators only, and weights in other files only where these lie beside the model.

The graph is read from the file's own bytes, so neither onnx nor onnxruntime has to be there.
"""

from __future__ import annotations

import contextlib
import mmap
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from swath.errors import ModelError
from swath.models.safety.operators import ONNX_NAMES
from swath.models.safety.protobuf import BYTES, VARINT, DamagedMessage, fields

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
    """What a model calls and which files it reads."""

    operators: set[tuple[str, str]] = field(default_factory=set)
    """(domain, operator)."""
    external: list[ExternalData] = field(default_factory=list)


def check_onnx(path: str) -> None:
    """Raise ModelError for a model that calls an operator that is not allowed, or reads a file that is not its own."""
    graph = read_onnx(path)
    for domain, name in sorted(graph.operators):
        if name not in ONNX_NAMES.get(domain, ()):
            called = f"{domain}.{name}" if domain else name
            raise ModelError(
                f"{path}: calls the operator {called[:200]!r}, which is not allowed in a model", remedy=OPERATOR_REMEDY
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
    parts = _parts(message, once=(7,), every=(20, 25))
    if parts[20] or parts[25]:
        raise ValueError("it has functions of its own, or training information; inline them with onnx.inliner")
    for graph in parts[7]:
        _graph(graph, found, 1)


def _graph(message: memoryview, found: OnnxGraph, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"graphs are nested more than {DEEPEST} deep")
    parts = _parts(message, every=(1, 5, 15))
    for node in parts[1]:
        _node(node, found, depth)
    for tensor in parts[5]:
        _tensor(tensor, found)
    for sparse in parts[15]:
        _sparse(sparse, found)


def _node(message: memoryview, found: OnnxGraph, depth: int) -> None:
    parts = _parts(message, once=(4, 7), every=(5,))
    found.operators.add((_text(parts[7]), _text(parts[4])))
    for attribute in parts[5]:
        inner = _parts(attribute, once=(5, 6, 22), every=(10, 11, 23))
        for graph in inner[6] + inner[11]:
            _graph(graph, found, depth + 1)
        for tensor in inner[5] + inner[10]:
            _tensor(tensor, found)
        for sparse in inner[22] + inner[23]:
            _sparse(sparse, found)


def _sparse(message: memoryview, found: OnnxGraph) -> None:
    parts = _parts(message, once=(1, 2))
    for tensor in parts[1] + parts[2]:
        _tensor(tensor, found)


def _tensor(message: memoryview, found: OnnxGraph) -> None:
    parts = _parts(message, every=(13,), numbers=(14,))
    if not parts[13] and not parts[14]:
        return
    entries: dict[str, str] = {}
    for pair in parts[13]:
        sides = _parts(pair, once=(1, 2))
        if entries.setdefault(_text(sides[1]), _text(sides[2])) != _text(sides[2]):
            raise ValueError("external data is described twice")
    offset, length = int(entries.get("offset") or 0), int(entries.get("length") or 0)
    if offset < 0 or length < 0:
        raise ValueError("external data of a negative length or offset")
    found.external.append(ExternalData(entries.get("location", ""), offset, length))


def _parts(
    message: memoryview, *, once: tuple[int, ...] = (), every: tuple[int, ...] = (), numbers: tuple[int, ...] = ()
) -> defaultdict[int, list[memoryview]]:
    """The fields of these numbers: messages and texts that may stand once or many times, and whether a number other than 0 is there."""
    found: defaultdict[int, list[memoryview]] = defaultdict(list)
    for number, wire, value in fields(message):
        if number in numbers:
            if wire != VARINT:
                raise DamagedMessage(f"field {number} has another type")
            if value:
                found[number].append(memoryview(b""))
        elif number in once or number in every:
            if wire != BYTES or isinstance(value, int):
                raise DamagedMessage(f"field {number} has another type")
            if number in once and found[number]:
                raise DamagedMessage(f"field {number} stands twice")
            found[number].append(value)
    return found


def _text(parts: list[memoryview]) -> str:
    return bytes(parts[0]).decode() if parts else ""
