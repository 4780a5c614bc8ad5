"""Read a torch.export archive (.pt2) from the graph that it holds as JSON, without torch's exporter and compiler.

torch.export.load imports both, and sympy, which takes seconds. Nothing is unpickled here. What is not a plain list of calls of torch's
own operators (control flow, custom operators) is not read: `read_program` gives None, and torch.export.load reads it.
docs/decisions/0015 has the measurement.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swath.models.exported_program import DEVICE, GUARD_FUNCTIONS, AxisRange, OperatorCall, Program, Value

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
"""What a graph may do with sizes."""

# Codes of torch/_export/serde/schema.py.
_TYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64", 12: "bool", 13: "bfloat16",
}  # fmt: skip
_MEMORY = {1: "contiguous_format", 2: "channels_last", 4: "preserve_format"}
_STRIDED = 7
# Arguments that are their JSON values.
_JSON_TYPES = ("as_int", "as_ints", "as_float", "as_floats", "as_bool", "as_bools", "as_string")
# A dynamic length, or a multiple of one.
_LENGTH = re.compile(r"Mul\(Integer\((\d+)\), Symbol\('(\w+)'[^()]*\)\)|Symbol\('(\w+)'[^()]*\)")
_DYNAMIC_MINIMUM = 2
_GUARD_NODES = (
    ast.Expression, ast.Compare, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Call, ast.Constant, ast.Name, ast.Load, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


class _Unsupported(Exception):
    """The archive holds something that is not read here."""


def read_program(path: str) -> Program | None:
    """The network of an archive that holds nothing but a plain list of calls; None when it is anything else."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _program(archive)
    except (_Unsupported, KeyError, IndexError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, OSError):
        return None  # torch.export.load reports what is wrong with it, if anything is


def _program(archive: zipfile.ZipFile) -> Program:
    (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+/models/[^/]+\.json", name))
    root, model = name.split("/")[0], name.rpartition("/")[2].removesuffix(".json")
    document = json.loads(archive.read(name))
    _require(document["schema_version"]["major"] == SCHEMA and archive.read(f"{root}/byteorder") == b"little")
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
                stored = weights if entry["persistent"] else constants
                tensors[entry["arg"]["name"]] = stored[entry["buffer_name"]]
            case "tensor_constant":
                tensors[entry["arg"]["name"]] = constants[entry["tensor_constant_name"]]
            case _:
                raise _Unsupported(kind)
    (image,) = images
    ((output,),) = (tuple(spec) for spec in signature["output_specs"])
    _require(output == "user_output" and _flat(document["graph_module"]["module_call_graph"][0]["signature"]))
    result = signature["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"]
    axes = tuple(_axis_range(size, document["range_constraints"]) for size in graph["tensor_values"][image]["sizes"])
    guards = tuple(_guard(text, image) for text in document.get("guards_code") or ())
    return Program(_steps(graph["nodes"], {image, *tensors}, result), tensors, image, result, axes, guards)


def _require(holds: bool) -> None:
    if not holds:
        raise _Unsupported


def _flat(call: dict[str, Any]) -> bool:
    """Whether the network takes one tensor by position and gives a tensor, in no container."""
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
    outer = json.loads(call["in_spec"])[1]["children_spec"]
    return bool([child["children_spec"] for child in outer] == [[leaf], []] and json.loads(call["out_spec"])[1] == leaf)


def _tensors(archive: zipfile.ZipFile, folder: str, config: str) -> dict[str, torch.Tensor]:
    import torch

    storages: dict[tuple[str, torch.dtype], torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, entry in json.loads(archive.read(folder + config))["config"].items():
        meta = entry["tensor_meta"]
        _require(not entry["use_pickle"] and meta["layout"] == _STRIDED and meta["device"]["type"] == "cpu")
        sizes, strides = ([each["as_int"] for each in meta[key]] for key in ("sizes", "strides"))
        dtype = getattr(torch, _TYPES[meta["dtype"]])
        key = (entry["path_name"], dtype)
        if key not in storages:
            data = bytearray(archive.read(folder + entry["path_name"]))
            # A copy begins at a multiple of 64 bytes, as all of torch's own tensors do.
            storages[key] = torch.frombuffer(data, dtype=dtype).clone() if data else torch.empty(0, dtype=dtype)
        tensors[name] = storages[key].as_strided(sizes, strides, meta["storage_offset"]["as_int"])
    return tensors


def _axis_range(size: dict[str, Any], ranges: dict[str, dict[str, int | None]]) -> AxisRange:
    """As torch checks it: multiples are among the guards, and a minimum of 2 only means that the length is dynamic."""
    if "as_int" in size:
        return AxisRange(None, size["as_int"], size["as_int"])
    found = _LENGTH.fullmatch(size["as_expr"]["expr_str"])
    if found is None:
        raise _Unsupported(size)
    name = "*".join(group for group in found.groups() if group)
    limits = ranges.get(name, {})
    minimum, maximum = limits.get("min_val") or 0, limits.get("max_val")
    return AxisRange(name, minimum if minimum > _DYNAMIC_MINIMUM else 0, math.inf if maximum is None else maximum)


class _AxisNames(ast.NodeTransformer):
    """Replaces `L['images'].size()[2]` by the name axis_2."""

    def __init__(self, image: str) -> None:
        self._sizes = f"L['{image}'].size()"

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) != self._sizes or not isinstance(node.slice, ast.Constant):
            raise _Unsupported(ast.unparse(node))
        return ast.Name(f"axis_{node.slice.value!r}", ast.Load())


def _guard(text: str, image: str) -> Any:
    """Arithmetic and comparisons of the lengths of axes, max and min, and nothing else."""
    tree = ast.fix_missing_locations(_AxisNames(image).visit(ast.parse(text, mode="eval")))
    for node in ast.walk(tree):
        _require(isinstance(node, _GUARD_NODES))
        _require(not isinstance(node, ast.Name) or node.id in GUARD_FUNCTIONS or node.id.startswith("axis_"))
    return compile(tree, "<guard>", "eval")


def _steps(nodes: list[dict[str, Any]], given: set[str], result: str) -> tuple[OperatorCall, ...]:
    """The calls in order. `given` are the names of images and weights; `result` is the name of the output."""
    known = set(given)
    drafts: list[tuple[OperatorCall, set[str]]] = []
    for node in nodes:
        needs: set[str] = set()
        args: list[Value] = []
        kwargs: dict[str, Value] = {}
        for argument in node["inputs"]:
            value = _value(argument["arg"], needs)
            if argument["kind"] == 1:
                args.append(value)
            else:
                _require(argument["kind"] == 2)  # older archives have no kind
                kwargs[argument["name"]] = value
        _require(needs <= known)
        results, several = _results(node["outputs"])
        known.update(results)
        drafts.append((OperatorCall(_call(node["target"]), tuple(args), kwargs, results, several, ()), needs))
    _require(result in known)
    later = {result, *given}
    steps: list[OperatorCall] = []
    for step, needs in reversed(drafts):
        released = tuple(sorted((needs | set(step.results)) - later))
        later |= needs
        steps.append(replace(step, released=released))
    return tuple(reversed(steps))


def _call(target: str) -> Callable[..., Any]:
    """The operator: only torch's own, and arithmetic of sizes. Raises _Unsupported for any other."""
    if target in OPERATORS:
        return OPERATORS[target]
    import torch

    if found := re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target):
        call: Callable[..., Any] = getattr(getattr(torch.ops.aten, found[1]), found[2])
        return call
    _require(re.fullmatch(r"torch\.sym_(int|float|max|min|not|ite)", target) is not None)
    symbolic: Callable[..., Any] = getattr(torch, target.removeprefix("torch."))
    return symbolic


def _results(outputs: list[dict[str, Any]]) -> tuple[tuple[str, ...], bool]:
    """Names of an operator's results, and whether it gives a sequence of them."""
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        return tuple(each["name"] for each in outputs[0]["as_tensors"]), True
    names = []
    for output in outputs:
        ((kind, entry),) = output.items()
        _require(kind in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"))
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
            _require(entry["type"] == "cpu")
            return operator.itemgetter(DEVICE)
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

    if kind in _JSON_TYPES:
        return entry
    match kind:
        case "as_scalar_type":
            return getattr(torch, _TYPES[entry])
        case "as_memory_format":
            return getattr(torch, _MEMORY[entry])
        case "as_layout":
            _require(entry == _STRIDED)
            return torch.strided
    raise _Unsupported(kind)
