"""Expressions over bands, such as (green - nir) / (green + nir) > 0.1: a small safe subset of Python, evaluated without `eval`."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_LENGTH = 1000
"""Characters of an expression at most."""
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS = {"abs": 1, "sqrt": 1, "log": 1, "exp": 1, "min": 2, "max": 2, "where": 3}
"""Names of functions, with their number of arguments."""


class ExpressionError(ValueError):
    """An expression that is not allowed: what is wrong, at which character, and what is allowed."""


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    text: str
    bands: tuple[str, ...]
    """Names of its bands, in the order in which they occur."""
    condition: bool
    """Whether its value is bool; else it is a number."""

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Raises ExpressionError."""
        names: list[str] = []
        condition = _check(_tree(text), text, names)
        if not names:
            raise ExpressionError(f"{text!r} names no band")
        return cls(text, tuple(dict.fromkeys(names)), condition)

    def evaluate(self, bands: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """(values, valid), both (height, width): valid is false where a value is undefined, such as after a division by zero.

        Bands (height, width) may have any dtype; arithmetic is in float64. The values are bool for a condition, else float64.
        """
        import numpy as np

        numbers = {name: np.asarray(bands[name], np.float64) for name in self.bands}
        shape = next(iter(numbers.values())).shape
        # Arithmetic propagates NaN, but a comparison does not: `known` collects where its sides were finite.
        known = np.ones(shape, bool)
        with np.errstate(all="ignore"):
            value = np.broadcast_to(_value(_tree(self.text), numbers, known), shape)
        if value.dtype != np.bool_:
            known &= np.isfinite(value)
        return value, known


def _tree(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"is longer than {MAX_LENGTH} characters")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        at = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ExpressionError(f"{text!r} is no expression{at}") from error


def _check(node: ast.expr, text: str, names: list[str]) -> bool:
    """Whether a node is a condition; appends the bands that it names to `names`. Raises ExpressionError."""

    def place(part: ast.AST) -> str:
        return f"character {getattr(part, 'col_offset', 0) + 1} of {text.strip()!r}"

    match node:
        case ast.Name(id=name):
            names.append(name)
            return False
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            return False
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            sides = {_check(left, text, names), _check(right, text, names)}
            logical = isinstance(op, ast.BitAnd | ast.BitOr)
            if sides != {logical}:
                needs = "conditions; put each in brackets" if logical else "numbers, not conditions"
                raise ExpressionError(f"{place(node)}: both sides must be {needs}")
            return logical
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            logical = isinstance(op, ast.Invert)
            if _check(operand, text, names) != logical:
                raise ExpressionError(f"{place(node)}: needs a {'condition' if logical else 'number'}")
            return logical
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARE for op in ops):
            kinds = [_check(part, text, names) for part in (left, *others)]
            if any(kinds):
                raise ExpressionError(f"{place(node)}: compares numbers; join conditions with & and |")
            return True
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            if len(arguments) != FUNCTIONS[name]:
                raise ExpressionError(f"{place(node)}: {name} takes {FUNCTIONS[name]}, not {len(arguments)}")
            kinds = [_check(argument, text, names) for argument in arguments]
            if kinds != [name == "where", *[False] * (len(kinds) - 1)]:
                raise ExpressionError(f"{place(node)}: {name} takes {'a condition and ' * (name == 'where')}numbers")
            return False
        case ast.BoolOp():
            raise ExpressionError(
                f"{place(node)}: write & and | for `and` and `or`, with brackets around each condition"
            )
        case ast.Call(func=ast.Name(id=name)):
            raise ExpressionError(f"{place(node)}: there is no function {name}; there are {', '.join(FUNCTIONS)}")
    raise ExpressionError(f"{place(node)}: {type(node).__name__} is not allowed in an expression")


def _value(node: ast.expr, bands: Mapping[str, Any], known: NDArray[np.bool_]) -> Any:
    import numpy as np

    match node:
        case ast.Name(id=name):
            return bands[name]
        case ast.Constant(value=value):
            return np.float64(value)  # type: ignore[arg-type]
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, bands, known), _value(right, bands, known))
        case ast.UnaryOp(op=op, operand=operand):
            return _UNARY[type(op)](_value(operand, bands, known))
        case ast.Compare(left=left, ops=ops, comparators=others):
            parts = [_value(part, bands, known) for part in (left, *others)]
            for part in parts:
                known &= np.isfinite(part)
            result: Any = True
            for sign, one, two in zip(ops, parts[:-1], parts[1:], strict=True):
                result = np.logical_and(result, _COMPARE[type(sign)](one, two))
            return result
        case ast.Call(func=ast.Name(id="where"), args=arguments):
            return np.where(*(_value(argument, bands, known) for argument in arguments))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            function = {"min": np.minimum, "max": np.maximum}.get(name) or getattr(np, name)
            return function(*(_value(argument, bands, known) for argument in arguments))
    raise ExpressionError(f"{type(node).__name__} is not allowed in an expression")
