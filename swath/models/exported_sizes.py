"""Sizes in a torch.export archive: which lengths of images a network was exported for, and arithmetic of sizes in its graph.

Torch evaluates these texts as Python; here they are taken apart, and hold numbers, names of axes, comparisons and arithmetic only.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swath.models.safety.operators import SIZE_NAMES

GUARD_FUNCTIONS = {"max": max, "min": min}
"""What guards may call."""
LARGEST = 1 << 63
"""Numbers in a graph are smaller."""

# A dynamic length, or a multiple of one.
_LENGTH = re.compile(r"Mul\(Integer\((\d+)\), Symbol\('(\w+)'[^()]*\)\)|Symbol\('(\w+)'[^()]*\)")
_DYNAMIC_MINIMUM = 2
_GUARD_NODES = (
    ast.Expression, ast.Compare, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Call, ast.Constant, ast.Name, ast.Load, ast.unaryop,
    ast.boolop, ast.cmpop, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow,
)  # fmt: skip
_GUARD_LENGTH = 10_000
_LARGEST_POWER = 64


class UnknownSize(Exception):
    """A size or a condition that is not read here; the message names it."""


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


def axis_range(size: dict[str, Any], ranges: dict[str, dict[str, int | None]]) -> AxisRange:
    """As torch checks it: multiples are among the guards, and a minimum of 2 only means that the length is dynamic."""
    if "as_int" in size:
        length = min(size["as_int"], LARGEST)
        return AxisRange(None, length, length)
    text = size["as_expr"]["expr_str"]
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise UnknownSize(f"the length of an axis is {text[:100]!r}")
    name = "*".join(group for group in found.groups() if group)
    limits = ranges.get(name, {})
    minimum, maximum = min(limits.get("min_val") or 0, LARGEST), limits.get("max_val")
    most = math.inf if maximum is None or maximum >= LARGEST else maximum
    return AxisRange(name, minimum if minimum > _DYNAMIC_MINIMUM else 0, most)


class _AxisNames(ast.NodeTransformer):
    """Replaces `L['images'].size()[2]` by the name axis_2."""

    def __init__(self, image: str) -> None:
        self._sizes = f"L['{image}'].size()"

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) != self._sizes or not isinstance(node.slice, ast.Constant):
            raise UnknownSize(ast.unparse(node)[:100])
        return ast.Name(f"axis_{node.slice.value!r}", ast.Load())


def guard(text: str, image: str) -> Any:
    """A condition on the lengths of axes, compiled: arithmetic, comparisons, max and min, and nothing else. Raises UnknownSize."""
    try:
        if len(text) > _GUARD_LENGTH:
            raise UnknownSize("a condition of many thousand characters")
        tree = ast.fix_missing_locations(_AxisNames(image).visit(ast.parse(text, mode="eval")))
        for node in ast.walk(tree):
            if not _allowed(node):
                raise UnknownSize(f"the condition {text[:100]!r}")
        return compile(tree, "<guard>", "eval")
    except (SyntaxError, RecursionError, MemoryError, ValueError, TypeError) as error:
        raise UnknownSize(f"the condition {text[:100]!r}") from error


def _allowed(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return name in GUARD_FUNCTIONS or re.fullmatch(r"axis_\d+", name) is not None
        case ast.Call(func=called, keywords=named):
            return isinstance(called, ast.Name) and called.id in GUARD_FUNCTIONS and not named
        case ast.Constant(value=value):
            return isinstance(value, int | float) and abs(value) < LARGEST
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))):
            return 0 <= power <= _LARGEST_POWER and not any(isinstance(each, ast.Pow) for each in ast.walk(left))
        case ast.BinOp(op=ast.Pow()):
            return False
    return isinstance(node, _GUARD_NODES)


def size_operator(target: str) -> Callable[..., Any] | None:
    """The function for an operator on sizes, such as `_operator.mul`; None for any other."""
    if target not in SIZE_NAMES:
        return None
    module, _, name = target.partition(".")
    if module == "torch":
        import torch

        symbolic: Callable[..., Any] = getattr(torch, name)
        return symbolic
    call = getattr(operator if module == "_operator" else math, name)
    return _item if name == "getitem" else _Arithmetic(call)


@dataclass(frozen=True)
class _Arithmetic:
    """Arithmetic of numbers that stay below LARGEST."""

    call: Callable[..., Any]

    def __call__(self, *numbers: float) -> Any:
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError(f"{self.call.__name__} of sizes takes numbers")
        if self.call is operator.pow and not -_LARGEST_POWER <= numbers[1] <= _LARGEST_POWER:
            raise ValueError(f"a size to the power of {numbers[1]}")
        result = self.call(*numbers)
        if abs(result) >= LARGEST and not math.isinf(result):
            raise ValueError("a size of 2**63 or more")
        return result


def _item(values: Any, index: int) -> Any:
    if not isinstance(values, list | tuple) or not isinstance(index, int):
        raise TypeError("an item of something that is no list")
    return values[index]
