"""Run a torch.export archive (.pt2) from the graph that stands in it as JSON, without torch's exporter and compiler.

torch.export.load imports both, and sympy: four seconds for a network whose graph is a list of calls of torch's own operators.
Here the same operators are called in the same order with the same tensors, so results are the same to the last bit. Nothing
is unpickled. What is not such a plain list (control flow, custom operators, buffers that change) is not read here: `read`
gives None, and torch.export.load is what reads it.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SCHEMA = 8
"""Major version of the archive's schema that is read here."""
OPERATORS: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in (
        "add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "neg", "eq", "ne", "lt", "le", "gt", "ge", "getitem",
    )
} | {f"math.{name}": getattr(math, name) for name in ("trunc", "floor", "ceil")}  # fmt: skip
"""What a graph does with sizes."""

_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool", 13: "bfloat16",
}  # fmt: skip
_MEMORY = {1: "contiguous_format", 2: "channels_last", 4: "preserve_format"}
_STRIDED = 7
_PLAIN = ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string")
_LENGTH = re.compile(r"Mul\(Integer\((\d+)\), Symbol\('(\w+)'[^()]*\)\)|Symbol\('(\w+)'[^()]*\)")
_VARIES = 2
_DEVICE = ""
"""Stands for the device among the names of a graph's values."""
_GUARD = (
    ast.Expression, ast.Compare, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Call, ast.Constant, ast.Name, ast.Load, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_FUNCTIONS = {"max": max, "min": min}

Value = Callable[[dict[str, Any]], Any]
"""An argument of an operator, from the tensors and sizes by name."""


class _NotPlain(Exception):
    """The archive holds something that is not read here."""


@dataclass(frozen=True)
class _Step:
    """One call of an operator."""

    call: Callable[..., Any]
    args: tuple[Value, ...]
    kwargs: dict[str, Value]
    results: tuple[str, ...]
    listed: bool
    """Whether the operator gives several results."""
    done: tuple[str, ...]
    """Names that no later step needs."""


@dataclass(frozen=True)
class _Side:
    """The length of one axis of the images that the network takes."""

    name: str | None
    """Axes of one name are of one length."""
    least: float
    most: float

    def check(self, axis: int, length: int, known: dict[str, int]) -> None:
        if not self.least <= length <= self.most or (self.name and known.setdefault(self.name, length) != length):
            raise ValueError(
                f"axis {axis} of images was exported for {self.least:g} to {self.most:g}, not for {length}"
            )


@dataclass(frozen=True)
class Program:
    """A network as a list of calls. Takes one tensor of images and gives one tensor."""

    steps: tuple[_Step, ...]
    tensors: dict[str, torch.Tensor]
    """Weights, by their names in the graph."""
    image: str
    result: str
    sides: tuple[_Side, ...]
    guards: tuple[Any, ...]
    """Compiled conditions on the lengths of the axes, which they call axis_0 and so on."""
    device: str = "cpu"

    def to(self, device: str) -> Program:
        """The same network on another device."""
        moved = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, tensors=moved, device=device)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Raises ValueError for images of a size that the network was not exported for, and what operators raise."""
        if images.ndim != len(self.sides):
            raise ValueError(f"images have {images.ndim} axes; the network takes {len(self.sides)}")
        known: dict[str, int] = {}
        for axis, (side, length) in enumerate(zip(self.sides, images.shape, strict=True)):
            side.check(axis, length, known)
        lengths = {f"axis_{axis}": length for axis, length in enumerate(images.shape)}
        if not all(eval(guard, {"__builtins__": _FUNCTIONS}, lengths) for guard in self.guards):  # noqa: S307 -- see _guard
            raise ValueError(f"the network was not exported for images of {tuple(images.shape)}")
        values: dict[str, Any] = {**self.tensors, self.image: images, _DEVICE: self.device}
        del images
        for step in self.steps:
            given = step.call(
                *[value(values) for value in step.args], **{name: value(values) for name, value in step.kwargs.items()}
            )
            if step.results:  # a check of the exporter's gives none
                values.update(zip(step.results, given if step.listed else (given,), strict=True))
            del given
            for name in step.done:
                del values[name]
        result: torch.Tensor = values[self.result]
        return result


def read(path: str) -> Program | None:
    """The network of an archive that holds nothing but a plain list of calls; None when it is anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _program(archive)
    except (_NotPlain, KeyError, IndexError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, OSError):
        return None  # the library's own reader says what is wrong with it, if anything is


def _program(archive: zipfile.ZipFile) -> Program:
    (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+/models/[^/]+\.json", name))
    root, model = name.split("/")[0], name.rpartition("/")[2].removesuffix(".json")
    document = json.loads(archive.read(name))
    _need(document["schema_version"]["major"] == SCHEMA and archive.read(f"{root}/byteorder") == b"little")
    graph, signature = document["graph_module"]["graph"], document["graph_module"]["signature"]
    weights = _tensors(archive, f"{root}/data/weights/", f"{model}_weights_config.json")
    constants = _tensors(archive, f"{root}/data/constants/", f"{model}_constants_config.json")
    tensors: dict[str, torch.Tensor] = {}
    images: list[str] = []
    for spec in signature["input_specs"]:
        ((kind, entry),) = spec.items()
        match kind:
            case "user_input":
                images.append(entry["arg"]["as_tensor"]["name"])
            case "parameter":
                tensors[entry["arg"]["name"]] = weights[entry["parameter_name"]]
            case "buffer":
                held = weights if entry["persistent"] else constants
                tensors[entry["arg"]["name"]] = held[entry["buffer_name"]]
            case "tensor_constant":
                tensors[entry["arg"]["name"]] = constants[entry["tensor_constant_name"]]
            case _:
                raise _NotPlain(kind)
    (image,) = images
    ((output,),) = (tuple(spec) for spec in signature["output_specs"])
    _need(output == "user_output" and _flat(document["graph_module"]["module_call_graph"][0]["signature"]))
    result = signature["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"]
    sides = tuple(_side(size, document["range_constraints"]) for size in graph["tensor_values"][image]["sizes"])
    guards = tuple(_guard(text, image) for text in document.get("guards_code") or ())
    return Program(_steps(graph["nodes"], {image, *tensors}, result), tensors, image, result, sides, guards)


def _need(holds: bool) -> None:
    if not holds:
        raise _NotPlain


def _flat(call: dict[str, Any]) -> bool:
    """Whether the network takes one tensor by position and gives a tensor, in no container."""
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    outer = json.loads(call["in_spec"])[1]["children_spec"]
    return bool([child["children_spec"] for child in outer] == [[leaf], []] and json.loads(call["out_spec"])[1] == leaf)


def _tensors(archive: zipfile.ZipFile, folder: str, config: str) -> dict[str, torch.Tensor]:
    import torch

    held: dict[tuple[str, torch.dtype], torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in json.loads(archive.read(folder + config))["config"].items():
        meta = entry["tensor_meta"]
        _need(not entry["use_pickle"] and meta["layout"] == _STRIDED and meta["device"]["type"] == "cpu")
        sizes, strides = ([each["as_int"] for each in meta[key]] for key in ("sizes", "strides"))
        dtype = getattr(torch, _TYPES[meta["dtype"]])
        key = (entry["path_name"], dtype)
        if key not in held:
            data = bytearray(archive.read(folder + entry["path_name"]))
            # A copy begins at a multiple of 64 bytes, as all of torch's own tensors do.
            held[key] = torch.frombuffer(data, dtype=dtype).clone() if data else torch.empty(0, dtype=dtype)
        tensors[name] = held[key].as_strided(sizes, strides, meta["storage_offset"]["as_int"])
    return tensors


def _side(size: dict[str, Any], ranges: dict[str, dict[str, int | None]]) -> _Side:
    """As the library checks it: multiples are among the guards, and a least length of 2 only says that it may vary."""
    if "as_int" in size:
        return _Side(None, size["as_int"], size["as_int"])
    found = _LENGTH.fullmatch(size["as_expr"]["expr_str"])
    if found is None:
        raise _NotPlain(size)
    name = "*".join(group for group in found.groups() if group)
    limits = ranges.get(name, {})
    least, most = limits.get("min_val") or 0, limits.get("max_val")
    return _Side(name, least if least > _VARIES else 0, math.inf if most is None else most)


class _Axes(ast.NodeTransformer):
    """Makes `L['images'].size()[2]` the name axis_2."""

    def __init__(self, image: str) -> None:
        self._sizes = f"L['{image}'].size()"

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) != self._sizes or not isinstance(node.slice, ast.Constant):
            raise _NotPlain(ast.unparse(node))
        return ast.Name(f"axis_{node.slice.value!r}", ast.Load())


def _guard(text: str, image: str) -> Any:
    """Arithmetic and comparisons of the lengths of axes, max and min, and nothing else."""
    tree = ast.fix_missing_locations(_Axes(image).visit(ast.parse(text, mode="eval")))
    for node in ast.walk(tree):
        _need(isinstance(node, _GUARD))
        _need(not isinstance(node, ast.Name) or node.id in _FUNCTIONS or node.id.startswith("axis_"))
    return compile(tree, "<guard>", "eval")


def _steps(nodes: list[dict[str, Any]], given: set[str], result: str) -> tuple[_Step, ...]:
    known = set(given)
    drafts: list[tuple[_Step, set[str]]] = []
    for node in nodes:
        needs: set[str] = set()
        args: list[Value] = []
        kwargs: dict[str, Value] = {}
        for argument in node["inputs"]:
            value = _value(argument["arg"], needs)
            if argument["kind"] == 1:
                args.append(value)
            else:
                _need(argument["kind"] == 2)  # archives of before say no kind
                kwargs[argument["name"]] = value
        _need(needs <= known)
        results, listed = _results(node["outputs"])
        known.update(results)
        drafts.append((_Step(_call(node["target"]), tuple(args), kwargs, results, listed, ()), needs))
    _need(result in known)
    later = {result, *given}
    steps: list[_Step] = []
    for step, needs in reversed(drafts):
        done = tuple(sorted((needs | set(step.results)) - later))
        later |= needs
        steps.append(_Step(step.call, step.args, step.kwargs, step.results, step.listed, done))
    return tuple(reversed(steps))


def _call(target: str) -> Callable[..., Any]:
    """Only torch's own operators, and arithmetic of sizes."""
    if target in OPERATORS:
        return OPERATORS[target]
    import torch

    if found := re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target):
        call: Callable[..., Any] = getattr(getattr(torch.ops.aten, found[1]), found[2])
        return call
    _need(re.fullmatch(r"torch\.sym_(int|float|max|min|not|ite)", target) is not None)
    symbolic: Callable[..., Any] = getattr(torch, target.removeprefix("torch."))
    return symbolic


def _results(outputs: list[dict[str, Any]]) -> tuple[tuple[str, ...], bool]:
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        return tuple(each["name"] for each in outputs[0]["as_tensors"]), True
    names = []
    for output in outputs:
        ((kind, entry),) = output.items()
        _need(kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"))
        names.append(entry["name"] if kind == "as_tensor" else entry["as_name"])
    return tuple(names), len(names) != 1


def _value(argument: dict[str, Any], needs: set[str]) -> Value:
    """How to get an argument; the names that it takes are added to `needs`."""
    ((kind, entry),) = argument.items()
    match kind:
        case "as_none":
            return lambda _: None
        case "as_tensor":
            return _named(entry["name"], needs)
        case "as_device":
            _need(entry["type"] == "cpu")
            return operator.itemgetter(_DEVICE)
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return _number(entry, needs)
        case "as_tensors":
            return _listed([_named(each["name"], needs) for each in entry])
        case "as_optional_tensors":
            return _listed([_value(each, needs) for each in entry])
        case "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
            return _listed([_number(each, needs) for each in entry])
        case _:
            constant = _constant(kind, entry)
            return lambda _: constant


def _named(name: str, needs: set[str]) -> Value:
    needs.add(name)
    return operator.itemgetter(name)


def _number(entry: dict[str, Any], needs: set[str]) -> Value:
    """A size: by its name, or as it is."""
    ((kind, number),) = entry.items()
    return _named(number, needs) if kind == "as_name" else lambda _: number


def _listed(values: list[Value]) -> Value:
    return lambda known: [value(known) for value in values]


def _constant(kind: str, entry: Any) -> Any:
    import torch

    if kind in _PLAIN:
        return entry
    match kind:
        case "as_scalar_type":
            return getattr(torch, _TYPES[entry])
        case "as_memory_format":
            return getattr(torch, _MEMORY[entry])
        case "as_layout":
            _need(entry == _STRIDED)
            return torch.strided
    raise _NotPlain(kind)
