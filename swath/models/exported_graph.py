"""Read the graph of a torch.export archive (JSON) as an OperatorBlock: allowed operators only, and no objects but tensors."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swath.models.exported_program import DEVICE, OperatorBlock, OperatorCall, Value
from swath.models.exported_sizes import LARGEST, size_operator
from swath.models.safety.operators import ATEN_NAMES, SIZE_NAMES, SUBGRAPH_NAMES
from swath.models.safety.preconditions import CONDITIONAL, CONDITIONS
from swath.models.safety.training_mode import RANDOM, VARIABLE, training_fault

if TYPE_CHECKING:
    import torch

# Codes of torch/_export/serde/schema.py.
TYPES = {
    1: ("uint8", 1), 2: ("int8", 1), 3: ("int16", 2), 4: ("int32", 4), 5: ("int64", 8), 6: ("float16", 2), 7: ("float32", 4),
    8: ("float64", 8), 9: ("complex32", 4), 10: ("complex64", 8), 11: ("complex128", 16), 12: ("bool", 1), 13: ("bfloat16", 2),
}  # fmt: skip
"""Torch's name of a type of numbers, and the bytes of one, by its code."""
STRIDED = 7
_MEMORY = {1: "contiguous_format", 2: "channels_last", 3: "channels_last_3d", 4: "preserve_format"}
_POSITIONAL, _KEYWORD = 1, 2
_DEEPEST = 16
_CODED = re.compile("ScalarType|Layout|MemoryFormat|Device")
_ATEN = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_INFINITE = ("Infinity", "-Infinity", "NaN")
# Arguments that are their JSON values, or lists of them.
_JSON_TYPES = {
    "as_int": int, "as_ints": int, "as_int_lists": int, "as_float": float, "as_floats": float, "as_float_lists": float,
    "as_bool": bool, "as_bools": bool, "as_string": str, "as_strings": str,
}  # fmt: skip


class Unsupported(Exception):
    """The archive has something that is not read here; the message continues `the network ...`."""


class ForbiddenOperator(Unsupported):
    """The graph calls an operator that is not allowed."""


class TrainingMode(Unsupported):
    """The graph calls an operator as in training; the message says which."""


def check_operators(graph: dict[str, Any], depth: int = 0) -> None:
    """Raise ForbiddenOperator for an operator that is not allowed, by its name alone, and TrainingMode for one that is called as in
    training. Imports no torch."""
    if depth > _DEEPEST:
        raise Unsupported(f"has graphs nested more than {_DEEPEST} deep")
    for node in graph["nodes"]:
        target = node["target"]
        found = _ATEN.fullmatch(target)
        if found and found[1] not in RANDOM and (fault := training_fault(found[1], _constants(node["inputs"]))):
            raise TrainingMode(fault)
        allowed = found[1] in ATEN_NAMES if found else target in SIZE_NAMES or _subgraph(target) in SUBGRAPH_NAMES
        if not allowed:
            raise ForbiddenOperator(target)
        for argument in node["inputs"]:
            if "as_graph" in argument["arg"]:
                check_operators(argument["arg"]["as_graph"]["graph"], depth + 1)


def _constants(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Arguments by name; VARIABLE for those that are no constants."""
    found: dict[str, Any] = {}
    for each in inputs:
        ((kind, entry),) = each["arg"].items()
        if kind == "as_optional_tensor":
            ((kind, entry),) = entry.items()
        found[each["name"]] = None if kind == "as_none" else entry if kind in _JSON_TYPES else VARIABLE
    return found


def read_block(
    graph: dict[str, Any], inputs: tuple[str, ...], outputs: tuple[str, ...], depth: int = 0
) -> OperatorBlock:
    """The calls of a graph in their order. Raises Unsupported, and what a document of another form raises."""
    if depth > _DEEPEST:
        raise Unsupported(f"has graphs nested more than {_DEEPEST} deep")
    known = set(inputs)
    drafts: list[tuple[OperatorCall, set[str]]] = []
    for node in graph["nodes"]:
        needs: set[str] = set()
        args: list[Value] = []
        kwargs: dict[str, Value] = {}
        blocks: list[OperatorBlock] = []
        call = _call(node["target"])
        for argument in node["inputs"]:
            if "as_graph" in argument["arg"]:
                blocks.append(_inner(argument["arg"]["as_graph"]["graph"], depth + 1))
                value = _bound(blocks[-1])
            else:
                value = _value(argument["arg"], needs)
            kind = argument.get("kind") or _kind(call, argument["name"])
            _check_code(call, len(args) if kind == _POSITIONAL else argument["name"], argument["arg"])
            if kind == _POSITIONAL:
                args.append(value)
            else:
                kwargs[argument["name"]] = value
        if not needs <= known:
            raise Unsupported(f"uses {sorted(needs - known)[0]!r} before it is there")
        results, several = _results(node["outputs"])
        known.update(results)
        drafts.append(
            (OperatorCall(call, tuple(args), kwargs, results, several or bool(blocks), (), tuple(blocks)), needs)
        )
    if not set(outputs) <= known:
        raise Unsupported(f"gives {sorted(set(outputs) - known)[0]!r}, which nothing computes")
    return OperatorBlock(inputs, _released(drafts, {*outputs, *inputs}), outputs)


def _released(drafts: list[tuple[OperatorCall, set[str]]], later: set[str]) -> tuple[OperatorCall, ...]:
    """The steps, each with the names that are not needed after it."""
    steps: list[OperatorCall] = []
    for step, needs in reversed(drafts):
        released = tuple(sorted((needs | set(step.results)) - later))
        later |= needs
        steps.append(replace(step, released=released))
    return tuple(reversed(steps))


def _inner(graph: dict[str, Any], depth: int) -> OperatorBlock:
    inputs, outputs = ([_name(each) for each in graph[side]] for side in ("inputs", "outputs"))
    return read_block(graph, tuple(inputs), tuple(outputs), depth)


def _bound(block: OperatorBlock) -> Value:
    return lambda known: block.bound(known[DEVICE])


def _name(argument: dict[str, Any]) -> str:
    ((kind, entry),) = argument.items()
    match kind:
        case "as_tensor":
            return str(entry["name"])
        case "as_sym_int" | "as_sym_float" | "as_sym_bool" if "as_name" in entry:
            return str(entry["as_name"])
    raise Unsupported(f"has a branch that takes or gives {kind.removeprefix('as_')}")


def _call(target: str) -> Callable[..., Any]:
    """The operator. Raises ForbiddenOperator."""
    if (call := size_operator(target)) is not None:
        return call
    import torch

    if found := _ATEN.fullmatch(target):
        overload = getattr(getattr(torch.ops.aten, found[1]), found[2], None) if found[1] in ATEN_NAMES else None
        if isinstance(overload, torch._ops.OpOverload) and _on_tensors(overload) and not _writes_out(overload):
            name = f"{found[1]}.{found[2]}"
            if name in CONDITIONS:
                return _Conditional(overload, CONDITIONS[name])
            if found[1] not in CONDITIONAL:
                return overload
    if (name := _subgraph(target)) in SUBGRAPH_NAMES:
        return _SUBGRAPHS[name]
    raise ForbiddenOperator(target)


def _subgraph(target: str) -> str:
    return target.removeprefix("torch.ops.higher_order.") if target.startswith("torch.ops.higher_order.") else ""


@dataclass(frozen=True)
class _Conditional:
    """An operator that does not check its arguments."""

    call: torch._ops.OpOverload
    check: Callable[..., None]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.check(*args, **kwargs)
        return self.call(*args, **kwargs)

    def __str__(self) -> str:
        return str(self.call)

    @property
    def _schema(self) -> Any:
        return self.call._schema


def _on_tensors(overload: torch._ops.OpOverload) -> bool:
    """Whether an overload takes or gives tensors; others are TorchScript's, for numbers and texts, as are those called `prim`."""
    schema = overload._schema
    return not schema.overload_name.startswith("prim") and any(
        "Tensor" in str(each.type) for each in (*schema.arguments, *schema.returns)
    )


def _writes_out(overload: torch._ops.OpOverload) -> bool:
    """Whether an overload has out=, which is given another size when it does not fit."""
    return any(arg.kwarg_only and arg.alias_info and arg.alias_info.is_write for arg in overload._schema.arguments)


def _kind(call: Callable[..., Any], name: str) -> int:
    """Whether an argument of an older archive, which does not say so, is positional: by torch's own rule."""
    schema = getattr(call, "_schema", None)
    for argument in schema.arguments if schema is not None else ():
        if argument.name == name:
            return _KEYWORD if argument.kwarg_only or argument.has_default_value() else _POSITIONAL
    return _POSITIONAL


def _check_code(call: Callable[..., Any], at: int | str, argument: dict[str, Any]) -> None:
    """Raise Unsupported for a plain number in place of a type, a layout, an order of memory or a device: torch looks these up in tables
    without a check. `at` is the argument's position or name."""
    schema = getattr(call, "_schema", None)
    for index, declared in enumerate(schema.arguments if schema is not None else ()):
        if at in (index, declared.name) and _CODED.search(str(declared.real_type)):
            ((kind, _),) = argument.items()
            if kind not in ("as_scalar_type", "as_layout", "as_memory_format", "as_device", "as_none"):
                raise Unsupported(f"has {kind.removeprefix('as_')!r} for the {declared.name} of an operator")


def _cond(chosen: Any, true: Callable[..., Any], false: Callable[..., Any], operands: Any = ()) -> Any:
    return (true if bool(chosen) else false)(*operands)


def _with_grad(enabled: bool, part: Callable[..., Any], *operands: Any) -> Any:
    return part(*operands)  # nothing has gradients here


def _with_autocast(kind: str, dtype: torch.dtype | None, enabled: bool, cached: bool, part: Any, *operands: Any) -> Any:
    import torch

    with torch.autocast(kind, dtype, enabled, cached):
        return part(*operands)


_SUBGRAPHS: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "wrap_with_autocast": _with_autocast,
    "wrap_with_set_grad_enabled": _with_grad,
}


def _results(outputs: list[dict[str, Any]]) -> tuple[tuple[str, ...], bool]:
    """Names of an operator's results, and whether it gives a sequence of them."""
    if len(outputs) == 1 and "as_tensors" in outputs[0]:
        return tuple(each["name"] for each in outputs[0]["as_tensors"]), True
    names = []
    for output in outputs:
        ((kind, entry),) = output.items()
        if kind not in ("as_tensor", "as_sym_int", "as_sym_float", "as_sym_bool"):
            raise Unsupported(f"calls an operator that gives {kind.removeprefix('as_')}")
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
            if entry["type"] != "cpu":
                raise Unsupported(f"was exported for the device {entry['type']!r}: export it on the CPU")
            return operator.itemgetter(DEVICE)
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return _number(entry, needs)
        case "as_tensors":
            return _listed([_named(each["name"], needs) for each in entry])
        case "as_optional_tensor":
            return _value(entry, needs)
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
    if kind == "as_name":
        return _named(number, needs)
    constant = _plain(number, float if kind == "as_float" else int, kind)
    return lambda _: constant


def _listed(values: list[Value]) -> Value:
    return lambda known: [value(known) for value in values]


def _constant(kind: str, entry: Any) -> Any:
    import torch

    match kind:
        case "as_scalar_type" if entry in TYPES:
            return getattr(torch, TYPES[entry][0])
        case "as_memory_format" if entry in _MEMORY:
            return getattr(torch, _MEMORY[entry])
        case "as_layout" if entry == STRIDED:
            return torch.strided
        case "as_complex":
            return complex(*(_plain(entry[part], float, kind) for part in ("real", "imag")))
        case _ if kind in _JSON_TYPES:
            return _plain(entry, _JSON_TYPES[kind], kind)
    raise Unsupported(f"has an argument of the kind {kind.removeprefix('as_')!r}: {str(entry)[:100]}")


def _plain(entry: Any, kind: type, name: str) -> Any:
    """A number, a text, or a list of them. JSON has no infinite numbers: these are texts in the archive."""
    if isinstance(entry, list):
        return [_plain(each, kind, name) for each in entry]
    if kind is float and (isinstance(entry, int | float) or entry in _INFINITE):
        return float(entry)
    if not isinstance(entry, kind) or (isinstance(entry, int) and abs(entry) >= LARGEST):
        raise Unsupported(f"has an argument of the kind {name.removeprefix('as_')!r}: {str(entry)[:100]}")
    return entry
